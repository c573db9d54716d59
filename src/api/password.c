/* SPDX-License-Identifier: MIT */
#include "api/password.h"
#include "api/await.h"
#include "base/threads.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

enum { HASH_MAX = CRYPT_OUTPUT_SIZE };

/* One call of mq.password.verify. It belongs to the pool while the job does, and to the waiting task
 * afterwards. */
typedef struct verification {
    mqlua_await await; /* first */
    mqlua_job job;
    bool delivered; /* the pool let go of it */
    mqlua_password_result result;
    size_t size;
    char hash[HASH_MAX];
    char password[];
} verification;

/* Takes the same time wherever the texts differ. */
static bool equal(const char *a, const char *b)
{
    size_t size = strlen(a);
    unsigned char difference = 0;
    if (strlen(b) != size)
        return false;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

mqlua_password_result mqlua_password_check(const char *password, size_t size, const char *hash)
{
    mqlua_password_result judged = mqlua_password_judge(hash);
    if (judged != MQLUA_PASSWORD_RIGHT)
        return judged;
    if (crypt_checksalt(hash) == CRYPT_SALT_INVALID)
        return MQLUA_PASSWORD_UNUSABLE;
    struct crypt_data *data = calloc(1, sizeof *data);
    if (!data)
        return MQLUA_PASSWORD_MEMORY;
    mqlua_password_result result = MQLUA_PASSWORD_WRONG;
    bool possible = size < CRYPT_MAX_PASSPHRASE_SIZE && !memchr(password, 0, size);
    /* Not crypt_r: AddressSanitizer puts its own in place, which fails where libcrypt came in with a plugin.
     */
    const char *made = crypt_rn(possible ? password : "", hash, data, sizeof *data);
    if (!made || made[0] == '*')
        result = MQLUA_PASSWORD_UNUSABLE;
    else if (possible && equal(made, hash))
        result = MQLUA_PASSWORD_RIGHT;
    explicit_bzero(data, sizeof *data);
    free(data);
    return result;
}

static void release(verification *v)
{
    explicit_bzero(v->password, v->size);
    free(v);
}

static verification *of_job(mqlua_job *job)
{
    return (verification *)(void *)((char *)job - offsetof(verification, job));
}

static void work(mqlua_job *job)
{
    verification *v = of_job(job);
    v->result = mqlua_password_check(v->password, v->size, v->hash);
}

static void job_done(mqlua_job *job)
{
    verification *v = of_job(job);
    v->delivered = true;
    mqlua_await_wake(&v->await);
}

static void job_drop(mqlua_job *job)
{
    release(of_job(job));
}

static void wait_over(mqlua_await *await, bool cancelled)
{
    verification *v = (verification *)await;
    if (v->delivered)
        release(v);
    else
        mqlua_job_cancel(&v->job);
}

static int push_failure(lua_State *L, mqlua_password_result result)
{
    static const char *const failures[][2] = {
        [MQLUA_PASSWORD_UNUSABLE] = {"the hash is none that crypt knows, or disabled", "unusable"},
        [MQLUA_PASSWORD_EXPENSIVE] = {"the hash asks for too much work", "expensive"},
        [MQLUA_PASSWORD_MEMORY] = {"too many passwords are being checked, or memory is out", "busy"},
    };
    lua_pushnil(L);
    lua_pushstring(L, failures[result][0]);
    lua_pushstring(L, failures[result][1]);
    return 3;
}

static int push_result(lua_State *L)
{
    mqlua_password_result result = ((verification *)mqlua_await_of(L))->result;
    if (result > MQLUA_PASSWORD_WRONG)
        return push_failure(L, result);
    lua_pushboolean(L, result == MQLUA_PASSWORD_RIGHT);
    return 1;
}

/* verify(password, hash): true or false, or nil, message, code. */
static int l_verify(lua_State *L)
{
    static const mqlua_await_kind kind = {.push = push_result, .release = wait_over};
    size_t size, hash_size;
    const char *password = luaL_checklstring(L, 1, &size);
    const char *hash = luaL_checklstring(L, 2, &hash_size);
    mqlua_env *env = mqlua_env_of(L);
    mqlua_task_check(L, "mq.password.verify");
    if (!env->loop || !env->threads)
        return luaL_error(L, "mq.password.verify needs a running worker: call it in a handler");
    if (hash_size >= HASH_MAX || memchr(hash, 0, hash_size))
        return push_failure(L, MQLUA_PASSWORD_UNUSABLE);
    mqlua_password_result judged = mqlua_password_judge(hash);
    if (judged != MQLUA_PASSWORD_RIGHT)
        return push_failure(L, judged);
    if (size > CRYPT_MAX_PASSPHRASE_SIZE) /* crypt takes none of this size: it is wrong, and not copied */
        size = CRYPT_MAX_PASSPHRASE_SIZE;
    mqlua_vm_charge(L, 500);
    verification *v = calloc(1, sizeof *v + size + 1);
    if (!v)
        return push_failure(L, MQLUA_PASSWORD_MEMORY);
    v->job = (mqlua_job){.work = work, .done = job_done, .drop = job_drop};
    mqlua_await_start(&v->await, env->loop, -1, &kind);
    v->size = size;
    memcpy(v->password, password, size);
    memcpy(v->hash, hash, hash_size);
    if (!mqlua_threads_submit(env->threads, mqlua_loop_mailbox(env->loop), &v->job)) {
        release(v);
        return push_failure(L, MQLUA_PASSWORD_MEMORY);
    }
    return mqlua_await_park(L, &v->await);
}

void mqlua_password_open(lua_State *L)
{
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_verify);
    lua_setfield(L, -2, "verify");
    lua_setfield(L, -2, "password");
}

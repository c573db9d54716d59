/* SPDX-License-Identifier: MIT */

#include "api/mime_work.h"
#include "api/raise.h"

/* Bytes that are looked at without a helper: less than a millisecond of work. */
enum { AT_ONCE = 128 << 10 };

typedef struct guard {
    mqlua_object object;
    mqlua_work *work;
} guard;

static void release(mqlua_work *work)
{
    if (!work)
        return;
    if (work->copy)
        mqlua_mime_module_give(work->module, work->size);
    mqlua_mime_free(&work->mime);
    free(work->copy);
    mqlua_texts_free(&work->texts);
    free(work->value);
    free(work->out);
    free(work);
}

static const mqlua_type guard_type;

static int l_gc(lua_State *L)
{
    guard *g = mqlua_object_test(L, 1, &guard_type, NULL);
    if (g) {
        release(g->work);
        g->work = NULL;
    }
    return 0;
}

static const luaL_Reg meta[] = {{"__gc", l_gc}, {NULL, NULL}};
static const mqlua_type guard_type = {.name = "mime work", .dead = "is over", .meta = meta};

void mqlua_work_open(lua_State *L)
{
    mqlua_object_register(L, &guard_type);
}

mqlua_work *mqlua_work_new(lua_State *L)
{
    const mqlua_env *env = mqlua_env_of(L);
    char *error = NULL;
    if (!env->mime)
        luaL_error(L, "mq.mime is not available here");
    const mqlua_mime_library *library = mqlua_mime_module_get(env->mime, &error);
    if (!library)
        mqlua_raise(L, "mq.mime", error);
    guard *g = mqlua_object_push(L, &guard_type, sizeof *g, NULL);
    g->work = calloc(1, sizeof *g->work);
    if (!g->work)
        luaL_error(L, "not enough memory");
    g->work->library = library;
    g->work->module = env->mime;
    g->work->limits = (mqlua_mime_limits){
        .bytes = env->settings->mime.bytes,
        .parts = (size_t)env->settings->mime.parts,
        .depth = (size_t)env->settings->mime.depth,
        .headers = (size_t)env->settings->mime.headers,
        .field = env->settings->mime.field,
    };
    return g->work;
}

void mqlua_work_own(lua_State *L, mqlua_work *work, char *text)
{
    free(work->out);
    work->out = text;
    if (!text)
        luaL_error(L, "not enough memory");
}

/* ---- on a helper ---- */

static mqlua_work *of_job(mqlua_job *job)
{
    return (mqlua_work *)(void *)((char *)job - offsetof(mqlua_work, job));
}

static void work_job(mqlua_job *job)
{
    mqlua_work *work = of_job(job);
    work->run(work);
}

static void job_done(mqlua_job *job)
{
    mqlua_work *work = of_job(job);
    work->delivered = true;
    mqlua_await_wake(&work->await);
}

static void job_drop(mqlua_job *job)
{
    release(of_job(job));
}

static void wait_over(mqlua_await *await, bool cancelled)
{
    mqlua_work *work = (mqlua_work *)await;
    if (work->delivered)
        release(work);
    else
        mqlua_job_cancel(&work->job);
}

static int push_result(lua_State *L)
{
    mqlua_work *work = (mqlua_work *)mqlua_await_of(L);
    return work->push(L, work);
}

/* Gives the work a copy of its bytes, and the pool the work. False: neither. */
static bool submit(const mqlua_env *env, mqlua_work *work)
{
    static const mqlua_await_kind kind = {.push = push_result, .release = wait_over};
    if (!mqlua_mime_module_take(work->module, work->size))
        return false;
    char *copy = malloc(work->size);
    if (!copy) {
        mqlua_mime_module_give(work->module, work->size);
        return false;
    }
    memcpy(copy, work->data, work->size);
    work->copy = copy;
    work->data = copy;
    work->job = (mqlua_job){.work = work_job, .done = job_done, .drop = job_drop};
    mqlua_await_start(&work->await, env->loop, -1, &kind);
    return mqlua_threads_submit(env->threads, mqlua_loop_mailbox(env->loop), &work->job);
}

int mqlua_work_do(lua_State *L, mqlua_work *work)
{
    const mqlua_env *env = mqlua_env_of(L);
    guard *g = mqlua_object_check(L, -1, &guard_type);
    bool waits = work->size > AT_ONCE && env->loop && env->threads && env->phase == MQLUA_SERVING &&
                 mqlua_task_can_wait(L);
    if (!waits) {
        mqlua_vm_charge(L, work->size / 2);
        work->run(work);
        return work->push(L, work);
    }
    mqlua_vm_charge(L, work->size / 16);
    g->work = NULL;
    if (submit(env, work))
        return mqlua_await_park(L, &work->await);
    release(work);
    lua_pushnil(L);
    lua_pushliteral(L, "too many messages are being read, or memory is out");
    lua_pushliteral(L, "busy");
    return 3;
}

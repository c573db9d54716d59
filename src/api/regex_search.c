/* SPDX-License-Identifier: MIT */

#include "api/regex_internal.h"
#include "api/env.h"
#include "base/utf8.h"
#include "vm/stack.h"

#include <string.h>

/* Machine code of a state: mapped by PCRE2, and not in the state's memory. Only what is used again gets
 * some. */
enum { CODE_BYTES = 1024 * 1024, USES_BEFORE_CODE = 2 };

/* Texts in which the clock need not be looked at, bytes. */
enum { SHORT = 1024 };

/* Backtracking of the quick search: so many steps at each place where a match can begin, each of which may go
 * over all of the text. For a short text the bytes at all places are counted together, for a long one those
 * at each place. At least QUICK_LEAST steps. */
enum { SHORT_WORK = 50 * 1000 * 1000, QUICK_WORK = 4 * 1000 * 1000, QUICK_LEAST = 50 };

/* Machine code has its data on the stack. */
enum { STACK_MATCH = 40 * 1024 };

/* ---- searching ---- */

static void add_code(mqlua_regex *regex, pcre2_code *code)
{
    mqlua_regexes *all = regex->all;
    size_t bytes = 0;
    /* refused by the system (W^X), or out of memory: the interpreter does it */
    if (all->code < CODE_BYTES && all->pcre.jit_compile(code, PCRE2_JIT_COMPLETE) == 0)
        all->pcre.pattern_info(code, PCRE2_INFO_JITSIZE, &bytes);
    regex->bytes += bytes;
    all->code += bytes;
}

/* What a text of this size is searched with, with machine code where it is used again, while there is room.
 * NULL: only a careful search is left. */
static const pcre2_code *code_for(lua_State *L, mqlua_regex *regex, size_t size)
{
    if (regex->uses <= USES_BEFORE_CODE && regex->uses++ == USES_BEFORE_CODE)
        add_code(regex, regex->plain);
    if (size <= SHORT)
        return regex->plain;
    if (regex->quick)
        return regex->quick;
    if (!mqlua_regex_compile_quick(L, regex))
        return NULL;
    add_code(regex, regex->quick); /* a long text is worth it at once */
    return regex->quick;
}

/* The place for results, with room for all groups of regex. */
static void ensure_data(lua_State *L, const mqlua_regex *regex)
{
    mqlua_regexes *all = regex->all;
    if (all->data && all->pcre.get_ovector_count(all->data) > regex->groups)
        return;
    all->pcre.match_data_free(all->data);
    all->data = all->pcre.match_data_create(regex->groups + 8, all->general);
    if (!all->data)
        mqlua_regex_out_of_memory(L);
}

static bool is_limit(int result)
{
    return result == PCRE2_ERROR_MATCHLIMIT || result == PCRE2_ERROR_DEPTHLIMIT ||
           result == PCRE2_ERROR_HEAPLIMIT || result == PCRE2_ERROR_JIT_STACKLIMIT;
}

/* Texts were checked already (mqlua_regex_replace_for), but for expressions to which PCRE2 must tell what is
 * none. */
static uint32_t check_of(const mqlua_regex *regex)
{
    return regex->flags & MQLUA_REGEX_INVALID ? 0 : PCRE2_NO_UTF_CHECK;
}

/* Raises for what is neither a match, nor none, nor a limit. */
static void judge(lua_State *L, int result)
{
    if (result >= PCRE2_ERROR_NOMATCH || is_limit(result))
        return;
    if (result == PCRE2_ERROR_NOMEMORY || result == PCRE2_ERROR_CALLOUT)
        mqlua_regex_out_of_memory(L); /* or the budget is spent */
    luaL_error(L, "mq.re: PCRE2 failed with error %d", result);
}

/* With callouts at every item. False when this is too large. */
static bool compile_careful(mqlua_regex *regex)
{
    int error;
    size_t offset;
    mqlua_regexes *all = regex->all;
    if (!regex->careful)
        regex->careful = all->pcre.compile((PCRE2_SPTR)regex->text, regex->size,
                                           mqlua_regex_options(regex->flags) | PCRE2_AUTO_CALLOUT, &error,
                                           &offset, all->compile);
    return regex->careful != NULL;
}

static int search_carefully(lua_State *L, mqlua_regex *regex, const char *text, size_t size, size_t from)
{
    mqlua_regexes *all = regex->all;
    const mqlua_pcre *pcre = &all->pcre;
    mqlua_vm_charge(L, 2000 + 20 * regex->size);
    mqlua_stack_check_for(L, MQLUA_REGEX_STACK_COMPILE);
    if (!compile_careful(regex))
        return PCRE2_ERROR_MATCHLIMIT;
    uint32_t pairs = regex->groups + 1;
    all->careful_data = pcre->match_data_create(pairs, all->general);
    if (!all->careful_data)
        mqlua_regex_out_of_memory(L);
    all->left = all->every = MQLUA_REGEX_LOOK_MOST;
    int result = pcre->match(regex->careful, (PCRE2_SPTR)text, size, from, check_of(regex), all->careful_data,
                             all->careful);
    if (result > 0)
        memcpy(pcre->get_ovector_pointer(all->data), pcre->get_ovector_pointer(all->careful_data),
               2 * sizeof(size_t) * pairs);
    pcre->match_data_free(all->careful_data); /* it keeps the memory that backtracking took */
    all->careful_data = NULL;
    return result;
}

int mqlua_regex_search(lua_State *L, mqlua_regex *regex, const char *text, size_t size, size_t from,
                       const size_t **offsets)
{
    mqlua_regexes *all = regex->all;
    const mqlua_pcre *pcre = &all->pcre;
    bool is_short = size <= SHORT;
    size_t steps = is_short ? SHORT_WORK / ((size + 1) * (size + 1)) : QUICK_WORK / (size + 1);
    int result = PCRE2_ERROR_MATCHLIMIT;
    mqlua_vm_charge(L, 100);
    mqlua_stack_check_for(L, STACK_MATCH);
    ensure_data(L, regex);
    const pcre2_code *code = code_for(L, regex, size);
    pcre->set_match_limit(all->quick, (uint32_t)(steps > QUICK_LEAST ? steps : QUICK_LEAST));
    all->began = from;
    all->left = all->every = MQLUA_REGEX_LOOK_FIRST;
    if (code)
        result = pcre->match(code, (PCRE2_SPTR)text, size, from, check_of(regex), all->data, all->quick);
    if (is_limit(result))
        result = search_carefully(L, regex, text, size, is_short || regex->relative ? from : all->began);
    judge(L, result);
    *offsets = pcre->get_ovector_pointer(all->data);
    mqlua_vm_charge(L, ((result > 0 ? (*offsets)[1] : size) - from) / 64);
    if (result == PCRE2_ERROR_NOMATCH)
        return MQLUA_REGEX_NONE;
    return result > 0 ? result : MQLUA_REGEX_LIMIT;
}

size_t mqlua_regex_next(const mqlua_regex *regex, const char *text, size_t size, size_t begin, size_t end)
{
    if (end > begin)
        return end;
    size_t next = end + 1;
    if (regex->flags & MQLUA_REGEX_UTF)
        while (next < size && ((unsigned char)text[next] & 0xc0) == 0x80)
            next++;
    return next;
}

/* ---- texts that are no UTF-8 ---- */

bool mqlua_regex_is_utf(lua_State *L, const char *text, size_t size)
{
    mqlua_vm_charge(L, size / 4);
    return mqlua_utf8_is(text, size);
}

enum { OTHER_UNKNOWN, OTHER_BYTES, OTHER_INVALID };

/* Is there an expression for bytes? Not where it names characters beyond U+00FF. */
static int other_of(mqlua_regex *regex)
{
    int error;
    size_t offset;
    const mqlua_pcre *pcre = &regex->all->pcre;
    pcre2_code *code = pcre->compile((PCRE2_SPTR)regex->text, regex->size,
                                     mqlua_regex_options(regex->flags & ~(unsigned)MQLUA_REGEX_UTF), &error,
                                     &offset, regex->all->compile);
    pcre->code_free(code);
    return code || error == PCRE2_ERROR_HEAP_FAILED ? OTHER_BYTES : OTHER_INVALID;
}

static void tell(lua_State *L, mqlua_regexes *all)
{
    const mqlua_env *env = mqlua_env_of(L);
    if (all->told || !env)
        return;
    all->told = true;
    mqlua_log(
        env->symbols, MQLUA_LOG_INFO,
        "mailerq-lua: mq.re: with the option u, a text that is no UTF-8 is matched as bytes (told once)");
}

mqlua_regex *mqlua_regex_replace_for(lua_State *L, const char *text, size_t size)
{
    mqlua_regex *regex = lua_touserdata(L, -1);
    if (!(regex->flags & MQLUA_REGEX_UTF) || regex->flags & MQLUA_REGEX_INVALID)
        return regex;
    if (mqlua_regex_is_utf(L, text, size))
        return regex;
    tell(L, regex->all);
    if (regex->other == OTHER_UNKNOWN) {
        mqlua_vm_charge(L, 2000 + 20 * regex->size);
        mqlua_stack_check_for(L, MQLUA_REGEX_STACK_COMPILE);
        regex->other = other_of(regex);
    }
    unsigned flags = regex->other == OTHER_BYTES ? regex->flags & ~(unsigned)MQLUA_REGEX_UTF
                                                 : regex->flags | MQLUA_REGEX_INVALID;
    lua_pushlstring(L, regex->text, regex->size);
    regex = mqlua_regex_push(L, regex->all, lua_gettop(L), flags);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return regex;
}

/* SPDX-License-Identifier: MIT */

#include "api/regex.h"
#include "api/env.h"
#include "api/pcre.h"
#include "base/ascii.h"
#include "base/utf8.h"
#include "vm/refs.h"
#include "vm/stack.h"

#include <stdint.h>
#include <string.h>

/* Expressions that are kept. They are in two tables: when the new one is full it becomes the old one, and
 * what is asked for in the old one moves to the new one. So the total is at most twice this. */
enum { KEPT = 128, KEPT_BYTES = 512 * 1024 };

/* Machine code of a state: mapped by PCRE2, and not in the state's memory. Only what is used again gets
 * some. */
enum { CODE_BYTES = 1024 * 1024, USES_BEFORE_CODE = 2 };

/* Backtracking. The quick search: so many bytes in all may be gone over at each place where a match can
 * begin, but at least QUICK_LEAST steps. The careful one: so many steps in all. */
enum { QUICK_WORK = 4 * 1000 * 1000, QUICK_LEAST = 50, CAREFUL_STEPS = 2 * 1000 * 1000 };

/* KB of memory for backtracking. */
enum { QUICK_HEAP = 64, CAREFUL_HEAP = 16 * 1024 };

/* PCRE2 and its compiler of machine code use the stack for nested parentheses, and machine code for matching.
 */
enum { NESTED = 100, STACK_COMPILE = 64 * 1024, STACK_MATCH = 40 * 1024 };

/* Places between two looks at the clock. */
enum { LOOK_FIRST = 8, LOOK_MOST = 64 };

/* Before an expression: tells the callout where the search is, at each place where a match can begin. */
static const char callout[] = "(?C1)";
enum { CALLOUT = sizeof callout - 1 };

struct mqlua_regexes {
    bool open;
    mqlua_vm *vm;
    lua_Alloc resize;
    void *resize_ud;
    mqlua_pcre pcre;
    pcre2_general_context *general;
    pcre2_compile_context *compile;
    pcre2_match_context *quick, *careful;
    pcre2_match_data *data, *careful_data; /* careful_data: during a search */
    size_t code;                           /* bytes of machine code */
    int shelves;                           /* registry */
    int kept;                              /* in the new table */
    size_t kept_bytes;                     /* likewise */
    /* of the search that runs */
    size_t began;   /* where it looked for a match last */
    unsigned every; /* so many callouts between two looks at the clock */
    unsigned left;
    bool told; /* that a text is no UTF-8 */
};

/* What shelves refers to: the tables of kept expressions, by flags and text, and the userdata of all. */
enum { NEW = 1, OLD = 2, SELF = 3 };

static const char regex_meta[] = "mailerq-lua.regex";
static const char regexes_meta[] = "mailerq-lua.regexes";

/* ---- memory of PCRE2: the state's ---- */

/* PCRE2 does not tell how large a block is that it gives back. */
typedef union header {
    size_t size;
    max_align_t align;
} header;

static void *take(size_t size, void *ud)
{
    mqlua_regexes *all = ud;
    if (size > SIZE_MAX / 2)
        return NULL;
    header *block = all->resize(all->resize_ud, NULL, 0, size + sizeof *block);
    if (!block)
        return NULL;
    block->size = size + sizeof *block;
    return block + 1;
}

static void give(void *memory, void *ud)
{
    mqlua_regexes *all = ud;
    header *block = memory;
    if (block)
        all->resize(all->resize_ud, block - 1, block[-1].size, 0);
}

/* Also when the allocator refused because the budget is spent, which is the better message. */
static __attribute__((noreturn)) void out_of_memory(lua_State *L)
{
    mqlua_vm_look(L);
    lua_pushliteral(L, "not enough memory");
    lua_error(L);
    __builtin_unreachable();
}

/* ---- the clock, while PCRE2 works ---- */

static int look(mqlua_regexes *all, unsigned weight)
{
    if (all->left > weight) {
        all->left -= weight;
        return 0;
    }
    all->left = all->every;
    if (all->every < LOOK_MOST)
        all->every *= 2;
    return mqlua_vm_late(all->vm) ? PCRE2_ERROR_CALLOUT : 0;
}

static int quick_callout(pcre2_callout_block *at, void *ud)
{
    mqlua_regexes *all = ud;
    all->began = at->start_match;
    return look(all, 1);
}

/* One item may go over the whole text. */
static int careful_callout(pcre2_callout_block *at, void *ud)
{
    return look(ud, 1 + (unsigned)(at->subject_length / 8192));
}

/* ---- all of a state ---- */

static void set_limits(mqlua_regexes *all)
{
    const mqlua_pcre *pcre = &all->pcre;
    pcre->set_newline(all->compile, PCRE2_NEWLINE_ANYCRLF);
    pcre->set_max_pattern_length(all->compile, MQLUA_REGEX_LENGTH + CALLOUT);
    pcre->set_parens_nest_limit(all->compile, NESTED);
    pcre->set_callout(all->quick, quick_callout, all);
    pcre->set_heap_limit(all->quick, QUICK_HEAP);
    pcre->set_callout(all->careful, careful_callout, all);
    pcre->set_heap_limit(all->careful, CAREFUL_HEAP);
    pcre->set_match_limit(all->careful, CAREFUL_STEPS);
}

/* What failed half-way is there for the next try. */
static void ensure_open(lua_State *L, mqlua_regexes *all)
{
    if (all->open)
        return;
    mqlua_pcre *pcre = &all->pcre;
    if (!pcre->match && !mqlua_pcre_open(pcre))
        luaL_error(L, "mq.re needs PCRE2: libpcre2-8.so.0 is missing (package libpcre2-8-0)");
    if (!all->general)
        all->general = pcre->general_context_create(take, give, all);
    if (all->general && !all->compile)
        all->compile = pcre->compile_context_create(all->general);
    if (all->general && !all->quick)
        all->quick = pcre->match_context_create(all->general);
    if (all->general && !all->careful)
        all->careful = pcre->match_context_create(all->general);
    if (!all->compile || !all->quick || !all->careful)
        out_of_memory(L);
    set_limits(all);
    all->open = true;
}

static int l_regexes_gc(lua_State *L)
{
    mqlua_regexes *all = lua_touserdata(L, 1);
    const mqlua_pcre *pcre = &all->pcre;
    if (!pcre->match)
        return 0;
    pcre->match_data_free(all->data);
    pcre->match_data_free(all->careful_data);
    pcre->match_context_free(all->quick);
    pcre->match_context_free(all->careful);
    pcre->compile_context_free(all->compile);
    pcre->general_context_free(all->general);
    all->open = false;
    all->data = all->careful_data = NULL;
    return 0;
}

/* Expressions may be collected after all->general was: their memory is freed by give, which needs only *all,
 * and that is there until every finalizer ran. */
static int l_regex_gc(lua_State *L)
{
    mqlua_regex *regex = lua_touserdata(L, 1);
    const mqlua_pcre *pcre = &regex->all->pcre;
    pcre->code_free(regex->quick);
    pcre->code_free(regex->careful);
    regex->all->code -= regex->bytes;
    regex->quick = regex->careful = NULL;
    regex->bytes = 0;
    return 0;
}

static void set_gc(lua_State *L, const char *name, lua_CFunction gc)
{
    if (luaL_newmetatable(L, name)) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
}

void mqlua_regexes_push(lua_State *L)
{
    mqlua_regexes *all = lua_newuserdata(L, sizeof *all);
    memset(all, 0, sizeof *all);
    all->vm = mqlua_vm_of(L);
    all->resize = lua_getallocf(L, &all->resize_ud);
    set_gc(L, regexes_meta, l_regexes_gc);
    lua_createtable(L, 3, 0);
    for (int i = NEW; i <= OLD; i++) {
        lua_newtable(L);
        lua_rawseti(L, -2, i);
    }
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, SELF);
    all->shelves = mqlua_refs_add(L);
}

/* ---- compiling ---- */

static uint32_t options_of(unsigned flags)
{
    static const uint32_t options[] = {
        PCRE2_ANCHORED,          PCRE2_CASELESS, PCRE2_MULTILINE, PCRE2_DOTALL,
        PCRE2_EXTENDED,          PCRE2_UTF,      PCRE2_DUPNAMES,  PCRE2_ALT_BSUX | PCRE2_MATCH_UNSET_BACKREF,
        PCRE2_MATCH_INVALID_UTF,
    };
    /* (*UTF) in the text would have bytes that were not looked at taken for UTF-8, and \C stops inside of
     * characters */
    uint32_t set = PCRE2_NEVER_BACKSLASH_C | (flags & MQLUA_REGEX_UTF ? 0 : PCRE2_NEVER_UTF);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (flags & 1u << i)
            set |= options[i];
    return set;
}

/* Settings such as (*UCP) must stay at the beginning. */
static size_t settings_size(const char *text, size_t size)
{
    size_t at = 0, end;
    while (at + 2 < size && text[at] == '(' && text[at + 1] == '*' && mqlua_ascii_is_upper(text[at + 2])) {
        for (end = at + 2; end < size && text[end] != ')'; end++)
            ;
        if (end == size)
            break;
        at = end + 1;
    }
    return at;
}

static void raise_wrong(lua_State *L, const mqlua_regex *regex, int error, size_t offset)
{
    enum { SHOWN = 200 };
    unsigned char message[200] = "";
    if (error == PCRE2_ERROR_HEAP_FAILED)
        out_of_memory(L);
    regex->all->pcre.get_error_message(error, message, sizeof message);
    lua_pushlstring(L, regex->text, regex->size < SHOWN ? regex->size : SHOWN);
    luaL_error(L, "mq.re: %s at offset %d of \"%s\"%s", message, (int)offset, lua_tostring(L, -1),
               regex->size < SHOWN ? "" : "...");
}

/* Puts the quick code into regex. Errors are those of the text as it was given. */
static void compile_quick(lua_State *L, mqlua_regex *regex)
{
    mqlua_regexes *all = regex->all;
    size_t before = settings_size(regex->text, regex->size), offset;
    uint32_t options = options_of(regex->flags);
    int error;
    char *text = take(regex->size + CALLOUT, all);
    if (!text)
        out_of_memory(L);
    memcpy(text, regex->text, before);
    memcpy(text + before, callout, CALLOUT);
    memcpy(text + before + CALLOUT, regex->text + before, regex->size - before);
    regex->quick =
        all->pcre.compile((PCRE2_SPTR)text, regex->size + CALLOUT, options, &error, &offset, all->compile);
    give(text, all);
    if (regex->quick)
        return;
    pcre2_code *code =
        all->pcre.compile((PCRE2_SPTR)regex->text, regex->size, options, &error, &offset, all->compile);
    all->pcre.code_free(code);
    raise_wrong(L, regex, code ? PCRE2_ERROR_HEAP_FAILED : error, offset);
}

static void read_info(mqlua_regex *regex)
{
    const mqlua_pcre *pcre = &regex->all->pcre;
    pcre->pattern_info(regex->quick, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
    pcre->pattern_info(regex->quick, PCRE2_INFO_NAMECOUNT, &regex->names);
    pcre->pattern_info(regex->quick, PCRE2_INFO_NAMEENTRYSIZE, &regex->name_size);
    pcre->pattern_info(regex->quick, PCRE2_INFO_NAMETABLE, &regex->name_table);
    regex->relative =
        memmem(regex->text, regex->size, "\\G", 2) || memmem(regex->text, regex->size, "ATSTART", 7);
}

/* Pushes a new expression. */
static mqlua_regex *push_new(lua_State *L, mqlua_regexes *all, const char *text, size_t size, unsigned flags)
{
    ensure_open(L, all);
    mqlua_vm_charge(L, 2000 + 20 * size);
    mqlua_stack_check_for(L, STACK_COMPILE);
    if (size > MQLUA_REGEX_LENGTH)
        luaL_error(L, "mq.re: an expression has at most %d bytes", MQLUA_REGEX_LENGTH);
    mqlua_regex *regex = lua_newuserdata(L, sizeof *regex + size + 1);
    memset(regex, 0, sizeof *regex);
    regex->all = all;
    regex->flags = flags;
    regex->size = size;
    memcpy(regex->text, text, size);
    regex->text[size] = 0;
    set_gc(L, regex_meta, l_regex_gc);
    compile_quick(L, regex);
    read_info(regex);
    return regex;
}

/* ---- those that are kept ---- */

/* Pushes the table of the flags in the table which (NEW, OLD) of the environment at env. */
static void push_shelf(lua_State *L, int env, int which, unsigned flags)
{
    lua_rawgeti(L, env, which);
    lua_rawgeti(L, -1, (int)flags + 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, (int)flags + 1);
    }
    lua_remove(L, -2);
}

/* Pushes what is kept for the text at index, or nothing. */
static mqlua_regex *push_kept(lua_State *L, int env, int which, int index, unsigned flags)
{
    lua_rawgeti(L, env, which);
    lua_rawgeti(L, -1, (int)flags + 1);
    lua_remove(L, -2);
    if (lua_istable(L, -1)) {
        lua_pushvalue(L, index);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
    mqlua_regex *regex = lua_touserdata(L, -1);
    if (!regex)
        lua_pop(L, 1);
    return regex;
}

/* Keeps the expression on the top. */
static void keep(lua_State *L, int env, int index, const mqlua_regex *regex)
{
    mqlua_regexes *all = regex->all;
    size_t size = 0;
    all->pcre.pattern_info(regex->quick, PCRE2_INFO_SIZE, &size);
    size += sizeof *regex + regex->size;
    if (all->kept >= KEPT || (all->kept && all->kept_bytes + size > KEPT_BYTES)) {
        lua_newtable(L);
        lua_rawgeti(L, env, NEW);
        lua_rawseti(L, env, OLD);
        lua_rawseti(L, env, NEW);
        all->kept = 0;
        all->kept_bytes = 0;
    }
    push_shelf(L, env, NEW, regex->flags);
    lua_pushvalue(L, index);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    all->kept++;
    all->kept_bytes += size;
}

mqlua_regex *mqlua_regex_push(lua_State *L, mqlua_regexes *all, int index, unsigned flags)
{
    luaL_checkstack(L, 10, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, all->shelves);
    int shelves = lua_gettop(L);
    mqlua_regex *regex = push_kept(L, shelves, NEW, index, flags);
    if (!regex) {
        regex = push_kept(L, shelves, OLD, index, flags);
        if (!regex) {
            size_t size;
            const char *text = lua_tolstring(L, index, &size);
            regex = push_new(L, all, text, size, flags);
        }
        keep(L, shelves, index, regex);
    }
    lua_remove(L, shelves);
    return regex;
}

/* ---- searching ---- */

/* Machine code for what is used again, while there is room. */
static void count_use(mqlua_regex *regex)
{
    mqlua_regexes *all = regex->all;
    if (regex->uses++ != USES_BEFORE_CODE || all->code >= CODE_BYTES)
        return;
    /* refused by the system (W^X), or out of memory: the interpreter does it */
    if (all->pcre.jit_compile(regex->quick, PCRE2_JIT_COMPLETE) == 0)
        all->pcre.pattern_info(regex->quick, PCRE2_INFO_JITSIZE, &regex->bytes);
    all->code += regex->bytes;
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
        out_of_memory(L);
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
        out_of_memory(L); /* or the budget is spent */
    luaL_error(L, "mq.re: PCRE2 failed with error %d", result);
}

/* With callouts at every item. False when this is too large. */
static bool compile_careful(mqlua_regex *regex)
{
    int error;
    size_t offset;
    mqlua_regexes *all = regex->all;
    if (!regex->careful)
        regex->careful =
            all->pcre.compile((PCRE2_SPTR)regex->text, regex->size,
                              options_of(regex->flags) | PCRE2_AUTO_CALLOUT, &error, &offset, all->compile);
    return regex->careful != NULL;
}

static int search_carefully(lua_State *L, mqlua_regex *regex, const char *text, size_t size, size_t from)
{
    mqlua_regexes *all = regex->all;
    const mqlua_pcre *pcre = &all->pcre;
    mqlua_vm_charge(L, 2000 + 20 * regex->size);
    mqlua_stack_check_for(L, STACK_COMPILE);
    if (!compile_careful(regex))
        return PCRE2_ERROR_MATCHLIMIT;
    uint32_t pairs = regex->groups + 1;
    all->careful_data = pcre->match_data_create(pairs, all->general);
    if (!all->careful_data)
        out_of_memory(L);
    all->left = all->every = LOOK_MOST;
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
    uint32_t steps = (uint32_t)(QUICK_WORK / (size + 1));
    mqlua_vm_charge(L, 100);
    mqlua_stack_check_for(L, STACK_MATCH);
    ensure_data(L, regex);
    count_use(regex);
    pcre->set_match_limit(all->quick, steps > QUICK_LEAST ? steps : QUICK_LEAST);
    all->began = from;
    all->left = all->every = LOOK_FIRST;
    int result =
        pcre->match(regex->quick, (PCRE2_SPTR)text, size, from, check_of(regex), all->data, all->quick);
    if (is_limit(result))
        result = search_carefully(L, regex, text, size, regex->relative ? from : all->began);
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
                                     options_of(regex->flags & ~(unsigned)MQLUA_REGEX_UTF), &error, &offset,
                                     regex->all->compile);
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
        mqlua_stack_check_for(L, STACK_COMPILE);
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

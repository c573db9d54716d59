/* SPDX-License-Identifier: MIT */

#include "api/regex_internal.h"
#include "base/ascii.h"
#include "vm/refs.h"
#include "vm/stack.h"

#include <stdint.h>
#include <string.h>

/* Expressions that are kept. They are in two tables: when the new one is full it becomes the old one, and
 * what is asked for in the old one moves to the new one. So the total is at most twice this. */
enum { KEPT = 128, KEPT_BYTES = 512 * 1024 };

/* Steps of backtracking in a careful search. */
enum { CAREFUL_STEPS = 2 * 1000 * 1000 };

/* KB of memory for backtracking. */
enum { QUICK_HEAP = 64, CAREFUL_HEAP = 16 * 1024 };

/* Parentheses inside of each other: PCRE2 uses the stack for them. */
enum { NESTED = 100 };

/* Before an expression: tells the callout where the search is, at each place where a match can begin. */
static const char callout[] = "(?C1)";
enum { CALLOUT = sizeof callout - 1 };

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

void mqlua_regex_out_of_memory(lua_State *L)
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
    if (all->every < MQLUA_REGEX_LOOK_MOST)
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
        mqlua_regex_out_of_memory(L);
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
    pcre->code_free(regex->plain);
    pcre->code_free(regex->quick);
    pcre->code_free(regex->careful);
    regex->all->code -= regex->bytes;
    regex->plain = regex->quick = regex->careful = NULL;
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

uint32_t mqlua_regex_options(unsigned flags)
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
        mqlua_regex_out_of_memory(L);
    regex->all->pcre.get_error_message(error, message, sizeof message);
    lua_pushlstring(L, regex->text, regex->size < SHOWN ? regex->size : SHOWN);
    luaL_error(L, "mq.re: %s at offset %d of \"%s\"%s", message, (int)offset, lua_tostring(L, -1),
               regex->size < SHOWN ? "" : "...");
}

static pcre2_code *compile(const mqlua_regex *regex, const char *text, size_t size, int *error,
                           size_t *offset)
{
    return regex->all->pcre.compile((PCRE2_SPTR)text, size, mqlua_regex_options(regex->flags), error, offset,
                                    regex->all->compile);
}

bool mqlua_regex_compile_quick(lua_State *L, mqlua_regex *regex)
{
    mqlua_regexes *all = regex->all;
    size_t before = settings_size(regex->text, regex->size), offset;
    int error;
    if (regex->quick)
        return true;
    mqlua_vm_charge(L, 2000 + 20 * regex->size);
    mqlua_stack_check_for(L, MQLUA_REGEX_STACK_COMPILE);
    char *text = take(regex->size + CALLOUT, all);
    if (!text)
        mqlua_regex_out_of_memory(L);
    memcpy(text, regex->text, before);
    memcpy(text + before, callout, CALLOUT);
    memcpy(text + before + CALLOUT, regex->text + before, regex->size - before);
    regex->quick = compile(regex, text, regex->size + CALLOUT, &error, &offset);
    give(text, all);
    if (!regex->quick && error == PCRE2_ERROR_HEAP_FAILED)
        mqlua_regex_out_of_memory(L);
    return regex->quick != NULL;
}

static void read_info(mqlua_regex *regex)
{
    const mqlua_pcre *pcre = &regex->all->pcre;
    pcre->pattern_info(regex->plain, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
    pcre->pattern_info(regex->plain, PCRE2_INFO_NAMECOUNT, &regex->names);
    pcre->pattern_info(regex->plain, PCRE2_INFO_NAMEENTRYSIZE, &regex->name_size);
    pcre->pattern_info(regex->plain, PCRE2_INFO_NAMETABLE, &regex->name_table);
    regex->relative =
        memmem(regex->text, regex->size, "\\G", 2) || memmem(regex->text, regex->size, "ATSTART", 7);
}

/* Pushes a new expression. */
static mqlua_regex *push_new(lua_State *L, mqlua_regexes *all, const char *text, size_t size, unsigned flags)
{
    int error;
    size_t offset;
    ensure_open(L, all);
    mqlua_vm_charge(L, 2000 + 20 * size);
    mqlua_stack_check_for(L, MQLUA_REGEX_STACK_COMPILE);
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
    regex->plain = compile(regex, regex->text, size, &error, &offset);
    if (!regex->plain)
        raise_wrong(L, regex, error, offset);
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
    all->pcre.pattern_info(regex->plain, PCRE2_INFO_SIZE, &size);
    size = 2 * size + sizeof *regex + regex->size; /* it may be compiled for long texts, too */
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

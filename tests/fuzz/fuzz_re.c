/* SPDX-License-Identifier: MIT */

/*
 * mq.re against PCRE2 called directly: whether an expression is one, and where it matches, is the same before
 * and after machine code was made for it. And nothing crashes whatever is searched, replaced and split.
 * Input: a byte of options (the highest bit: the text is made long), the expression, a newline, the text.
 */

#include "api/pcre.h"
#include "api/regex.h"
#include "api/re.h"
#include "vm/vm.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 64, STEPS = 3000, RUNS = 5, LONG = 1500, MOST = 300 };

/* Bit n of the first byte, and the same as PCRE2 has it. */
static const struct {
    unsigned flag;
    uint32_t option;
    char letter;
} options[] = {
    {MQLUA_REGEX_CASELESS, PCRE2_CASELESS, 'i'}, {MQLUA_REGEX_MULTILINE, PCRE2_MULTILINE, 'm'},
    {MQLUA_REGEX_DOTALL, PCRE2_DOTALL, 's'},     {MQLUA_REGEX_EXTENDED, PCRE2_EXTENDED, 'x'},
    {MQLUA_REGEX_ANCHORED, PCRE2_ANCHORED, 'a'}, {MQLUA_REGEX_UTF, PCRE2_UTF, 'u'},
    {MQLUA_REGEX_DUPNAMES, PCRE2_DUPNAMES, 'J'},
};
enum { OPTIONS = sizeof options / sizeof *options };

typedef struct input {
    const char *regex, *text;
    size_t regex_size, size;
    unsigned flags;
    uint32_t option;
    char letters[OPTIONS + 1];
    bool valid; /* it is an expression */
    int result; /* of PCRE2 */
    size_t offsets[2 * PAIRS];
} input;

static const char use_all[] = "local text, regex, options = ...\n"
                              "local count = 0\n"
                              "for _ in mq.re.gmatch(text, regex, options) do count = count + 1 end\n"
                              "local function twice(t) return t[0] .. t[0] end\n"
                              "mq.re.gsub(text, regex, twice, options)\n"
                              "mq.re.sub(text, regex, '<$0$$>', options)\n"
                              "local parts = mq.re.split(text, regex, options)\n"
                              "mq.re.find(text, regex, options, {pos = 2})\n"
                              "local n, err = mq.re.set({regex, 'x'}, options):match(text)\n";

static void ask_pcre(const mqlua_pcre *pcre, input *in)
{
    int error;
    size_t offset;
    pcre2_compile_context *compile = pcre->compile_context_create(NULL);
    pcre2_match_context *match = pcre->match_context_create(NULL);
    pcre->set_newline(compile, PCRE2_NEWLINE_ANYCRLF);
    pcre->set_parens_nest_limit(compile, 100);
    pcre->set_match_limit(match, STEPS);
    uint32_t never = PCRE2_NEVER_BACKSLASH_C | (in->option & PCRE2_UTF ? 0 : PCRE2_NEVER_UTF);
    pcre2_code *code =
        pcre->compile((PCRE2_SPTR)in->regex, in->regex_size, in->option | never, &error, &offset, compile);
    pcre2_match_data *data = pcre->match_data_create(PAIRS, NULL);
    in->valid = code != NULL;
    in->result =
        code ? pcre->match(code, (PCRE2_SPTR)in->text, in->size, 0, 0, data, match) : PCRE2_ERROR_NOMATCH;
    if (in->result > 0)
        memcpy(in->offsets, pcre->get_ovector_pointer(data), (size_t)in->result * 2 * sizeof *in->offsets);
    pcre->match_data_free(data);
    pcre->code_free(code);
    pcre->match_context_free(match);
    pcre->compile_context_free(compile);
}

static int prepare(lua_State *L)
{
    lua_newtable(L);
    mqlua_re_open(L);
    lua_setglobal(L, "mq");
    mqlua_regexes_push(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "fuzz.all");
    if (luaL_loadbuffer(L, use_all, sizeof use_all - 1, "=use"))
        lua_error(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "fuzz.use");
    return 0;
}

/* Verbs such as (*COMMIT) act on what PCRE2's own shortcuts leave; only safety is looked at. */
static bool is_comparable(const input *in)
{
    bool limit = in->result < PCRE2_ERROR_NOMATCH; /* or a text that is no UTF-8 */
    return !limit && in->result != 0 && !memmem(in->regex, in->regex_size, "(*", 2);
}

static void differ(const input *in, const char *what)
{
    fprintf(stderr, "%s: expression [%.*s] options '%s' text [%.*s]\n", what, (int)in->regex_size, in->regex,
            in->letters, (int)in->size, in->text);
    abort();
}

static void compare(const input *in, int found, const size_t *offsets)
{
    if (!is_comparable(in) || found == MQLUA_REGEX_LIMIT)
        return;
    if ((found > 0) != (in->result > 0) || (found > 0 && found != in->result))
        differ(in, "another result");
    for (int i = 0; i < 2 * found; i++)
        if (offsets[i] != in->offsets[i])
            differ(in, "another place");
}

static int run(lua_State *L)
{
    const input *in = lua_touserdata(L, 1);
    const size_t *offsets;
    lua_getfield(L, LUA_REGISTRYINDEX, "fuzz.all");
    mqlua_regexes *all = lua_touserdata(L, -1);
    lua_pushlstring(L, in->regex, in->regex_size);
    mqlua_regex_push(L, all, 3, in->flags);
    if (!in->valid)
        differ(in, "an expression only here");
    mqlua_regex *regex = mqlua_regex_replace_for(L, in->text, in->size);
    for (int i = 0; i < RUNS; i++) {
        int found = mqlua_regex_search(L, regex, in->text, in->size, 0, &offsets);
        compare(in, found, offsets);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, "fuzz.use");
    lua_pushlstring(L, in->text, in->size);
    lua_pushvalue(L, 3);
    lua_pushstring(L, in->letters);
    lua_call(L, 3, 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mqlua_vm_limits limits = {.budget = 0.2, .memory = 64 << 20};
    static mqlua_pcre pcre;
    if (size < 2 || size > MOST || (!pcre.match && !mqlua_pcre_open(&pcre)))
        return 0;
    const char *begin = (const char *)data + 1, *end = begin + size - 1;
    const char *newline = memchr(begin, '\n', size - 1);
    input in = {.regex = begin, .regex_size = (size_t)((newline ? newline : end) - begin)};
    in.text = newline ? newline + 1 : end;
    in.size = (size_t)(end - in.text);
    char padded[LONG + MOST];
    if (data[0] & 0x80) { /* long texts are searched with other code */
        memset(padded, ' ', LONG);
        memcpy(padded + LONG, in.text, in.size);
        in.text = padded;
        in.size += LONG;
    }
    for (int i = 0, used = 0; i < OPTIONS; i++)
        if (data[0] & 1 << i) {
            in.flags |= options[i].flag;
            in.option |= options[i].option;
            in.letters[used++] = options[i].letter;
        }
    ask_pcre(&pcre, &in);
    mqlua_vm *vm = mqlua_vm_new(&limits);
    char *error = NULL;
    if (!vm || mqlua_vm_setup(vm, prepare, NULL, NULL))
        abort();
    if (mqlua_vm_call(vm, run, &in, &error) && in.valid && error && !strstr(error, "budget") &&
        !strstr(error, "not enough memory") && !strstr(error, "too large"))
        differ(&in, error);
    free(error);
    mqlua_vm_free(vm);
    return 0;
}

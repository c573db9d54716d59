/* SPDX-License-Identifier: MIT */

/* io and os as a policy sees them: files that files.h admits, with the functions, results and messages of
 * Lua. There are no standard streams, and so no default input and output. What is read is put together in
 * memory of the state, which the cap bounds, and charged. */

#include "vm/files.h"
#include "base/ascii.h"
#include "base/error.h"
#include "base/number.h"
#include "vm/vm_internal.h"
#include "vm/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE = 16 * 1024, /* bytes between two looks at the budget */
    NUMBER_MAX = 200,  /* characters of a number that is read */
    OPEN_MAX = 64,     /* open files of one state: descriptors are the host's */
    TRIES = 20,        /* names for a temporary file */
};

typedef struct file {
    mqlua_object object;
    FILE *stream; /* NULL: closed */
} file;

static int l_gc(lua_State *L);
static int l_tostring(lua_State *L);
static int l_close(lua_State *L);
static int l_flush(lua_State *L);
static int l_lines(lua_State *L);
static int l_read(lua_State *L);
static int l_seek(lua_State *L);
static int l_setvbuf(lua_State *L);
static int l_write(lua_State *L);

static const luaL_Reg methods[] = {{"close", l_close}, {"flush", l_flush}, {"lines", l_lines},
                                   {"read", l_read},   {"seek", l_seek},   {"setvbuf", l_setvbuf},
                                   {"write", l_write}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__gc", l_gc}, {"__tostring", l_tostring}, {NULL, NULL}};
static const mqlua_type type = {.name = "file", .methods = methods, .meta = meta};

static void close_file(lua_State *L, file *f)
{
    if (!f || !f->stream)
        return;
    fclose(f->stream);
    f->stream = NULL;
    mqlua_vm_of(L)->files--;
}

static int l_gc(lua_State *L)
{
    close_file(L, mqlua_object_test(L, 1, &type, NULL));
    return 0;
}

static file *check_file(lua_State *L)
{
    file *f = mqlua_object_check(L, 1, &type);
    if (!f->stream)
        luaL_error(L, "attempt to use a closed file");
    return f;
}

static int l_tostring(lua_State *L)
{
    const file *f = mqlua_object_check(L, 1, &type);
    if (f->stream)
        lua_pushfstring(L, "file (%p)", (const void *)f);
    else
        lua_pushliteral(L, "file (closed)");
    return 1;
}

/* nil, message, number. */
static int push_failure(lua_State *L, const char *message, int number)
{
    lua_pushnil(L);
    lua_pushstring(L, message);
    lua_pushinteger(L, number);
    return 3;
}

static int push_result(lua_State *L, bool good)
{
    int number = errno;
    if (!good)
        return push_failure(L, mqlua_error_text(number), number);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- opening ---- */

static int how_of(const char *mode)
{
    static const struct {
        const char *mode;
        int how;
    } modes[] = {
        {"r", MQLUA_FILES_READ},
        {"w", MQLUA_FILES_WRITE | MQLUA_FILES_CREATE | MQLUA_FILES_TRUNCATE},
        {"a", MQLUA_FILES_WRITE | MQLUA_FILES_CREATE | MQLUA_FILES_APPEND},
        {"r+", MQLUA_FILES_READ | MQLUA_FILES_WRITE},
        {"w+", MQLUA_FILES_READ | MQLUA_FILES_WRITE | MQLUA_FILES_CREATE | MQLUA_FILES_TRUNCATE},
        {"a+", MQLUA_FILES_READ | MQLUA_FILES_WRITE | MQLUA_FILES_CREATE | MQLUA_FILES_APPEND},
    };
    char plain[4] = "";
    size_t size = 0;
    for (const char *c = mode; *c && size < sizeof plain; c++)
        if (*c != 'b')
            plain[size++] = *c;
    for (size_t i = 0; size < sizeof plain && i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(plain, modes[i].mode))
            return modes[i].how;
    return 0;
}

static const char *stream_mode(int how)
{
    if (!(how & MQLUA_FILES_WRITE))
        return "r";
    bool append = how & MQLUA_FILES_APPEND;
    if (how & MQLUA_FILES_READ)
        return append ? "a+" : "r+";
    return append ? "a" : "w"; /* of a descriptor: truncates nothing */
}

/* Pushes an open file; or returns false with the reason in error. */
static bool push_open(lua_State *L, const char *path, int how, char error[MQLUA_FILES_ERROR])
{
    mqlua_vm *vm = mqlua_vm_of(L);
    file *f = mqlua_object_push(L, &type, sizeof *f, NULL);
    if (vm->files >= OPEN_MAX) {
        snprintf(error, MQLUA_FILES_ERROR, "%.300s: %d files are open: close some", path, OPEN_MAX);
        errno = EMFILE;
        return false;
    }
    int fd = mqlua_files_descriptor(&vm->limits.files, path, how, error);
    if (fd < 0)
        return false;
    f->stream = fdopen(fd, stream_mode(how));
    if (!f->stream) {
        snprintf(error, MQLUA_FILES_ERROR, "%.300s: %s", path, mqlua_error_text(errno));
        int number = errno;
        close(fd);
        errno = number;
        return false;
    }
    vm->files++;
    return true;
}

/* A path from a script: text, and nothing behind a NUL byte. */
static const char *check_path(lua_State *L, int index)
{
    size_t size;
    luaL_checkany(L, index);
    const char *path = luaL_checklstring(L, index, &size);
    luaL_argcheck(L, size && !memchr(path, 0, size), index, "not a path");
    return path;
}

static int l_open(lua_State *L)
{
    char error[MQLUA_FILES_ERROR];
    const char *path = check_path(L, 1);
    luaL_optstring(L, 2, NULL);
    const char *mode = lua_isnoneornil(L, 2) ? "r" : mqlua_object_name(L, 2);
    int how = how_of(mode);
    luaL_argcheck(L, how, 2, "invalid mode");
    mqlua_vm_charge(L, 1000); /* some calls of the system */
    return push_open(L, path, how, error) ? 1 : push_failure(L, error, errno);
}

/* A name in the first folder for writing that no file has; opened. */
static bool push_temporary(lua_State *L, char path[64], char error[MQLUA_FILES_ERROR])
{
    bool made = false;
    for (int i = 0; i < TRIES && !made; i++) {
        unsigned long long number = 0;
        if (getentropy(&number, sizeof number))
            number = (unsigned long long)(uintptr_t)&number + (unsigned)i;
        snprintf(path, 64, "lua_%016llx", number);
        made = push_open(L, path, MQLUA_FILES_READ | MQLUA_FILES_WRITE | MQLUA_FILES_CREATE | MQLUA_FILES_NEW,
                         error);
        if (!made && errno != EEXIST)
            break;
    }
    return made;
}

static int l_tmpfile(lua_State *L)
{
    char path[64], error[MQLUA_FILES_ERROR], removal[MQLUA_FILES_ERROR];
    mqlua_vm_charge(L, 2000);
    if (!push_temporary(L, path, error))
        return push_failure(L, error, errno);
    mqlua_files_remove(&mqlua_vm_of(L)->limits.files, path, removal);
    return 1;
}

static int l_tmpname(lua_State *L)
{
    char path[64], error[MQLUA_FILES_ERROR];
    mqlua_vm_charge(L, 2000);
    if (!push_temporary(L, path, error))
        return luaL_error(L, "%s", error);
    close_file(L, mqlua_object_test(L, -1, &type, NULL));
    lua_pushfstring(L, "%s/%s", mqlua_vm_of(L)->limits.files.write[0], path);
    return 1;
}

static int l_remove(lua_State *L)
{
    char error[MQLUA_FILES_ERROR];
    const char *path = check_path(L, 1);
    mqlua_vm_charge(L, 1000);
    if (mqlua_files_remove(&mqlua_vm_of(L)->limits.files, path, error))
        return push_failure(L, error, errno);
    return push_result(L, true);
}

static int l_rename(lua_State *L)
{
    char error[MQLUA_FILES_ERROR];
    const char *from = check_path(L, 1), *to = check_path(L, 2);
    mqlua_vm_charge(L, 1000);
    if (mqlua_files_rename(&mqlua_vm_of(L)->limits.files, from, to, error))
        return push_failure(L, error, errno);
    return push_result(L, true);
}

/* ---- reading ---- */

/* Each pushes one value, and is false (nil was pushed) at the end of the file. */
static bool read_line(lua_State *L, FILE *stream, bool keep_end)
{
    mqlua_text out;
    mqlua_text_init(&out, L);
    char piece[1024];
    bool any = false, ended = false;
    while (!ended) {
        size_t size = 0;
        for (int c; size < sizeof piece && !ended && (c = getc_unlocked(stream)) != EOF;) {
            any = true;
            ended = c == '\n';
            if (!ended || keep_end)
                piece[size++] = (char)c;
        }
        mqlua_text_add(&out, piece, size);
        mqlua_vm_charge(L, 8 + size);
        if (size < sizeof piece)
            break;
    }
    if (any)
        mqlua_text_push(&out);
    else
        lua_pushnil(L);
    return any;
}

/* Up to size bytes: what is there is what takes memory, not what was asked for. */
static bool read_bytes(lua_State *L, FILE *stream, size_t size, bool all)
{
    mqlua_text out;
    mqlua_text_init(&out, L);
    for (size_t done = 0; done < size;) {
        char piece[1024];
        size_t wanted = size - done < sizeof piece ? size - done : sizeof piece;
        size_t got = fread(piece, 1, wanted, stream);
        mqlua_text_add(&out, piece, got);
        mqlua_vm_charge(L, 8 + got / 8);
        done += got;
        if (got < wanted)
            break;
    }
    bool any = out.size > 0 || all;
    if (!any && size == 0) {
        int c = getc_unlocked(stream);
        any = c != EOF;
        ungetc(c, stream);
    }
    if (any)
        mqlua_text_push(&out);
    else
        lua_pushnil(L);
    return any;
}

static bool read_number(lua_State *L, FILE *stream)
{
    char text[NUMBER_MAX + 1], *end;
    size_t size = 0;
    int c;
    lua_pushnil(L); /* in place of the text of the others */
    for (size_t blanks = 0; (c = getc_unlocked(stream)) != EOF && mqlua_ascii_is_space(c); blanks++)
        if (blanks % PIECE == PIECE - 1)
            mqlua_vm_charge(L, PIECE);
    while (c != EOF && size < NUMBER_MAX && (mqlua_ascii_is_alnum(c) || strchr("+-.", c))) {
        text[size++] = (char)c;
        c = getc_unlocked(stream);
    }
    ungetc(c, stream);
    text[size] = 0;
    double number = mqlua_number_parse(text, &end);
    if (size && size < NUMBER_MAX && !*end)
        lua_pushnumber(L, number);
    else
        lua_pushnil(L);
    return !lua_isnil(L, -1);
}

static bool read_format(lua_State *L, FILE *stream, int index)
{
    if (lua_type(L, index) == LUA_TNUMBER) {
        lua_Number size = lua_tonumber(L, index);
        return read_bytes(L, stream, size > 0 ? size < 1e15 ? (size_t)size : (size_t)1e15 : 0, false);
    }
    const char *format = lua_tostring(L, index);
    luaL_argcheck(L, format, index, "invalid option");
    format += *format == '*';
    switch (*format) {
    case 'l':
        return read_line(L, stream, false);
    case 'L':
        return read_line(L, stream, true);
    case 'a':
        return read_bytes(L, stream, SIZE_MAX, true);
    case 'n':
        return read_number(L, stream);
    default:
        return luaL_argerror(L, index, "invalid format");
    }
}

/* The formats from first to the top. */
static int read_formats(lua_State *L, FILE *stream, int first)
{
    int last = lua_gettop(L), results = 0;
    clearerr(stream);
    errno = 0;
    luaL_checkstack(L, (last - first + 2) * 2 + 16, "too many arguments");
    if (last < first) {
        read_line(L, stream, false);
        results = 1;
    }
    for (int i = first; i <= last; i++) {
        bool good = read_format(L, stream, i);
        lua_remove(L, -2); /* the placeholder of the text */
        results++;
        if (!good)
            break;
    }
    return ferror(stream) ? push_result(L, false) : results;
}

static int l_read(lua_State *L)
{
    return read_formats(L, check_file(L)->stream, 2);
}

/* Upvalues: the file, whether it closes at its end. */
static int l_next_line(lua_State *L)
{
    file *f = lua_touserdata(L, lua_upvalueindex(1));
    if (!f->stream)
        return luaL_error(L, "file is already closed");
    lua_settop(L, 0);
    int results = read_formats(L, f->stream, 1);
    if (lua_isnil(L, -results) && lua_toboolean(L, lua_upvalueindex(2)))
        close_file(L, f);
    return results;
}

static int push_lines(lua_State *L, bool closes)
{
    lua_pushboolean(L, closes);
    lua_pushcclosure(L, l_next_line, 2);
    return 1;
}

static int l_lines(lua_State *L)
{
    check_file(L);
    lua_pushvalue(L, 1);
    return push_lines(L, false);
}

static int l_lines_of_path(lua_State *L)
{
    char error[MQLUA_FILES_ERROR];
    if (lua_isnoneornil(L, 1))
        return luaL_error(L, "io.lines takes a path: there is no standard input for policies");
    const char *path = check_path(L, 1);
    mqlua_vm_charge(L, 1000);
    if (!push_open(L, path, MQLUA_FILES_READ, error))
        return luaL_error(L, "%s", error);
    return push_lines(L, true);
}

/* ---- the rest ---- */

static int l_write(lua_State *L)
{
    FILE *stream = check_file(L)->stream;
    int last = lua_gettop(L);
    bool good = true;
    errno = 0;
    for (int i = 2; i <= last && good; i++) {
        size_t size;
        const char *text = luaL_checklstring(L, i, &size);
        for (size_t done = 0; done < size && good;) {
            size_t piece = size - done < PIECE ? size - done : PIECE;
            mqlua_vm_charge(L, 8 + piece / 4);
            good = fwrite(text + done, 1, piece, stream) == piece;
            done += piece;
        }
    }
    return push_result(L, good);
}

static int l_close(lua_State *L)
{
    file *f = check_file(L);
    errno = 0;
    bool good = fflush(f->stream) == 0;
    int number = errno;
    close_file(L, f);
    errno = number;
    return push_result(L, good);
}

static int l_flush(lua_State *L)
{
    mqlua_vm_charge(L, 200);
    return push_result(L, fflush(check_file(L)->stream) == 0);
}

static int l_seek(lua_State *L)
{
    static const char *const names[] = {"set", "cur", "end", NULL};
    static const int places[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    FILE *stream = check_file(L)->stream;
    int whence = places[luaL_checkoption(L, 2, "cur", names)];
    lua_Number offset = luaL_optnumber(L, 3, 0);
    luaL_argcheck(L, offset > -9e15 && offset < 9e15, 3, "out of range");
    mqlua_vm_charge(L, 200);
    if (fseeko(stream, (off_t)offset, whence))
        return push_result(L, false);
    lua_pushnumber(L, (lua_Number)ftello(stream));
    return 1;
}

/* How much is kept before it is written is ours to say. */
static int l_setvbuf(lua_State *L)
{
    static const char *const names[] = {"no", "full", "line", NULL};
    static const int modes[] = {_IONBF, _IOFBF, _IOLBF};
    FILE *stream = check_file(L)->stream;
    return push_result(L, setvbuf(stream, NULL, modes[luaL_checkoption(L, 2, NULL, names)], BUFSIZ) == 0);
}

static int l_type(lua_State *L)
{
    luaL_checkany(L, 1);
    const file *f = mqlua_object_test(L, 1, &type, NULL);
    if (f)
        lua_pushstring(L, f->stream ? "file" : "closed file");
    else
        lua_pushnil(L);
    return 1;
}

static void put(lua_State *L, const char *library, const luaL_Reg *functions)
{
    lua_getglobal(L, library);
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
    lua_pop(L, 1);
}

void mqlua_files_open(lua_State *L)
{
    static const luaL_Reg io[] = {{"close", l_close},     {"lines", l_lines_of_path}, {"open", l_open},
                                  {"tmpfile", l_tmpfile}, {"type", l_type},           {NULL, NULL}};
    static const luaL_Reg os[] = {
        {"remove", l_remove}, {"rename", l_rename}, {"tmpname", l_tmpname}, {NULL, NULL}};
    mqlua_object_register(L, &type);
    put(L, LUA_IOLIBNAME, io);
    put(L, LUA_OSLIBNAME, os);
}

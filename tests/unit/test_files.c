/* SPDX-License-Identifier: MIT */

/* io and os of a policy: what may be opened, and that it reads and writes as Lua's own does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vm/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char top[] = "/tmp/mqlua-files-XXXXXX";

static const char *below(const char *name)
{
    static char paths[4][200];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", top, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(below(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static int set_up(void **state)
{
    assert_non_null(mkdtemp(top));
    mkdir(below("read"), 0700);
    mkdir(below("read/folder"), 0700);
    mkdir(below("readable"), 0700); /* begins as the other does */
    put("read/a", "one\ntwo\n12 0x10 -3.5e1 x\nlast");
    put("secret", "secret");
    put("readable/b", "secret");
    assert_int_equal(mkfifo(below("read/7"), 0600), 0);
    make_socket(below("read/socket"));
    assert_int_equal(symlink("../secret", below("read/out")), 0);
    assert_int_equal(symlink("a", below("read/in")), 0);
    assert_int_equal(symlink("/proc/self/mem", below("read/mem")), 0);
    assert_int_equal(symlink("/dev/zero", below("read/zero")), 0);
    assert_int_equal(symlink("..", below("read/up")), 0);
    return 0;
}

static int tear_down(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", top);
    return system(command);
}

static int run_text(lua_State *L)
{
    const char *text = lua_touserdata(L, 1);
    lua_pushstring(L, top);
    lua_setglobal(L, "top");
    if (luaL_loadbuffer(L, text, strlen(text), "@policy.lua"))
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static void run_with(const char *text, size_t memory)
{
    char read[200], write[200], *error = NULL;
    snprintf(read, sizeof read, "%s/read", top);
    snprintf(write, sizeof write, "%s/write", top);
    static char proc[] = "/proc", dev[] = "/dev";
    char *reads[] = {read, proc, dev, NULL}, *writes[] = {write, NULL};
    mqlua_vm_limits limits = {.memory = memory, .files = {reads, writes}};
    mqlua_vm *vm = mqlua_vm_new(&limits);
    assert_non_null(vm);
    alarm(20); /* something blocks */
    if (mqlua_vm_call(vm, run_text, (void *)text, &error))
        fail_msg("%s", error ? error : "?");
    alarm(0);
    mqlua_vm_free(vm);
}

static void run(const char *text)
{
    run_with(text, 64 << 20);
}

static void refused(void **state)
{
    run("for path, why in pairs{[top .. '/secret'] = 'files.read', ['/etc/passwd'] = 'files.read', ['out'] = "
        "'files.read',\n"
        "    ['../secret'] = 'files.read', ['up/secret'] = 'files.read', [top .. '/read/../secret'] = "
        "'files.read',\n"
        "    [top .. '/readable/b'] = 'files.read', ['mem'] = 'files.read', ['/proc/self/mem'] = "
        "'files.read',\n"
        "    ['/proc/self/environ'] = 'files.read', ['zero'] = 'files.read', ['/dev/zero'] = 'files.read',\n"
        "    ['/proc/self/root' .. top .. '/secret'] = 'files.read', ['folder'] = 'regular', ['7'] = "
        "'regular',\n"
        "    [7] = 'regular', ['socket'] = 'regular', ['none'] = 'No such file'} do\n"
        "  local file, message, number = io.open(path)\n"
        "  assert(file == nil and message:find(why, 1, true) and number > 0, path .. ': ' .. "
        "tostring(message))\n"
        "  assert(not pcall(io.lines, path))\n"
        "end\n"
        "for _, mode in ipairs{'w', 'a', 'r+', 'w+', 'a+', 'r+b'} do\n"
        "  for _, path in ipairs{top .. '/read/a', top .. '/new', top .. '/write/../new', '/proc/self/mem', "
        "'/dev/null',\n"
        "      top .. '/read/7', '../new'} do\n"
        "    local file, message = io.open(path, mode)\n"
        "    assert(file == nil and (message:find('files.write', 1, true) or message:find('No such')), path "
        ".. mode .. tostring(message))\n"
        "  end\n"
        "end\n"
        "for _, path in ipairs{top .. '/read/a', top .. '/secret', top .. '/read/7', '../secret'} do\n"
        "  assert(not os.remove(path) and not os.rename(path, 'x') and not os.rename('x', path))\n"
        "end\n"
        "assert(not pcall(io.open, 'a\\0b') and not pcall(io.open, '') and not pcall(io.open, 'a', 'q'))\n"
        "for _, name in ipairs{'read', 'write', 'input', 'output', 'stdin', 'stdout', 'stderr', 'popen'} do\n"
        "  assert(io[name] == nil)\n"
        "end");
    assert_int_equal(access(below("secret"), F_OK), 0);
    assert_int_equal(access(below("new"), F_OK), -1);
}

static void reading(void **state)
{
    run("local f = assert(io.open('a')) assert(f:read() == 'one') assert(f:read('*L') == 'two\\n')\n"
        "local a, b, c, d = f:read('*n', '*n', '*n', '*n') assert(a == 12 and b == 16 and c == -35 and d == "
        "nil)\n"
        "assert(f:seek('set', 4) == 4 and f:read(3) == 'two') assert(f:read('*a'):find('last$'))\n"
        "assert(f:read('*a') == '' and f:read('*l') == nil and f:read(0) == nil) assert(f:seek('set') == 0)\n"
        "assert(f:read(0) == '') assert(#f:read(1e15) == f:seek('end')) assert(io.type(f) == 'file')\n"
        "assert(not f:write('x')) f:close() assert(io.type(f) == 'closed file' and io.type(1) == nil)\n"
        "assert(not pcall(f.read, f) and tostring(f) == 'file (closed)')\n"
        "local n = 0 for line in io.lines(top .. '/read/in') do n = n + 1 end assert(n == 4)\n"
        "assert(type(getmetatable(f)) ~= 'table')");
}

static void writing(void **state)
{
    run("local f = assert(io.open('x', 'w')) assert(f:write('a', 1, 'b')) f:close()\n"
        "f = assert(io.open('x', 'a')) f:write('c') f:close() f = assert(io.open(top .. '/write/x', 'r+')) "
        "f:write('Z')\n"
        "f:close() assert(io.open('x'):read('*a') == 'Z1bc') assert(os.rename('x', 'y')) assert(not "
        "io.open('x'))\n"
        "assert(os.remove('y')) local name = os.tmpname() assert(io.open(name, 'w'):write('t')) "
        "assert(os.remove(name))\n"
        "f = assert(io.tmpfile()) f:write('abc') f:seek('set') assert(f:read('*a') == 'abc')\n"
        "local kept, file, message = {} repeat file, message = io.tmpfile() kept[#kept + 1] = file until not "
        "file\n"
        "assert(#kept <= 64 and message:find('close some'))");
}

/* A file that is larger than the cap: nothing of it is kept beyond that. */
static void bounded(void **state)
{
    run_with("local f = assert(io.open('big', 'w')) local mega = ('1'):rep(1e6) for i = 1, 40 do "
             "f:write(mega) end f:close()\n"
             "for _, format in ipairs{'*a', '*l', 1e9} do\n"
             "  local ok, message = pcall(function() return assert(io.open('big')):read(format) end)\n"
             "  assert(not ok and tostring(message):find('not enough memory'), message) collectgarbage()\n"
             "end\n"
             "assert(assert(io.open('big')):read('*n') == nil)",
             8 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(reading),
        cmocka_unit_test(writing),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: MIT */

#include "mq/log.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1000, LINES_MAX = 20 };

static bool printable(unsigned char c)
{
    return c >= 0x20 && c != 0x7f;
}

/* The host's log takes one line of text: nothing else may pass. */
static void sanitise(char *line)
{
    for (char *c = line; *c; c++)
        if (!printable((unsigned char)*c))
            *c = ' ';
}

/* As the host would have written it. */
static void write_stderr(int level, const char *line)
{
    static const char *const prefixes[] = {"[Critical]", "[Warning] ", "[Info]    "};
    char out[LINE_MAX_BYTES + 100], stamp[32];
    time_t now = time(NULL);
    struct tm parts;
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &parts));
    int size = snprintf(out, sizeof out, "%s [%s] [plugin] %s\n", prefixes[level - 1], stamp, line);
    if (size > 0 && write(STDERR_FILENO, out, (size_t)size) < 0)
        return; /* there is nowhere left to say so */
}

static void write_line(const mqlua_symbols *symbols, int level, char *line)
{
    sanitise(line);
    if (symbols && symbols->log && !atomic_load_explicit(&symbols->log_ended, memory_order_relaxed))
        symbols->log(level, line);
    else
        write_stderr(level, line);
}

void mqlua_log(const mqlua_symbols *symbols, int level, const char *format, ...)
{
    char line[LINE_MAX_BYTES + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    write_line(symbols, level, line);
}

void mqlua_log_lines(const mqlua_symbols *symbols, int level, const char *text)
{
    char line[LINE_MAX_BYTES + 1];
    for (int i = 0; *text && i < LINES_MAX; i++) {
        size_t size = strcspn(text, "\n");
        size_t kept = size < LINE_MAX_BYTES ? size : LINE_MAX_BYTES;
        memcpy(line, text, kept);
        line[kept] = '\0';
        write_line(symbols, level, line);
        text += size + (text[size] == '\n');
    }
}

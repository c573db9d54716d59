/* SPDX-License-Identifier: MIT */

#include "modules/mime/internal.h"

#include <errno.h>
#include <iconv.h>

#define REPLACEMENT "\xef\xbf\xbd"

enum { NAME_MAX_SIZE = 40 };

/* A charset's name goes to iconv_open, which takes options behind slashes. */
static bool is_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= NAME_MAX_SIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:+()") == size;
}

static iconv_t open_conversion(const char *to, const char *from)
{
    errno = EINVAL;
    if (!is_name(to) || !is_name(from))
        return (iconv_t)-1;
    module_enter();
    iconv_t conversion = iconv_open(g_mime_charset_iconv_name(to), g_mime_charset_iconv_name(from));
    int error = errno;
    module_leave(strlen(to) + strlen(from));
    errno = error;
    return conversion;
}

typedef struct output {
    char *data;
    size_t size, room;
} output;

static bool reserve(output *out, size_t more)
{
    if (more <= out->room - out->size)
        return true;
    size_t room = out->room + out->room / 2 + more;
    char *data = realloc(out->data, room);
    if (!data)
        return false;
    out->data = data;
    out->room = room;
    return true;
}

/* One call of iconv; *at NULL: the end of a charset with states. 0, or an errno. */
static int step(iconv_t conversion, char **at, size_t *size, output *out, bool *replaced)
{
    char *to = out->data + out->size;
    size_t left = out->room - out->size;
    size_t done = iconv(conversion, *at ? at : NULL, *at ? size : NULL, &to, &left);
    int error = done == (size_t)-1 ? errno : 0;
    out->size = (size_t)(to - out->data);
    *replaced = !error && done > 0;
    return error;
}

/* Converts all of it; strict: or nothing. 0, or an errno. */
static int run(iconv_t conversion, bool strict, const char *in, size_t size, output *out)
{
    char *at = (char *)in;
    bool ended = false, replaced;
    while (!ended) {
        if (!reserve(out, size + 64))
            return ENOMEM;
        ended = at == NULL;
        int error = step(conversion, &at, &size, out, &replaced);
        if (strict && (replaced || (error && error != E2BIG)))
            return EILSEQ;
        if (error == E2BIG) {
            ended = false;
            if (!reserve(out, out->room - out->size + 64))
                return ENOMEM;
        } else if (error && size) { /* a byte that has no meaning */
            if (!reserve(out, sizeof REPLACEMENT))
                return ENOMEM;
            memcpy(out->data + out->size, REPLACEMENT, sizeof REPLACEMENT - 1);
            out->size += sizeof REPLACEMENT - 1;
            at++, size--;
        } else if (!size) {
            at = NULL;
        }
    }
    return 0;
}

bool module_convert(const char *to, const char *from, const char *in, size_t size, char **out,
                    size_t *out_size, bool *memory)
{
    output made = {0};
    *out = NULL;
    *memory = false;
    iconv_t conversion = open_conversion(to, from);
    if (conversion == (iconv_t)-1) {
        *memory = errno == ENOMEM;
        return false;
    }
    bool strict = g_ascii_strcasecmp(to, "utf-8") != 0;
    int error = run(conversion, strict, in, size, &made);
    iconv_close(conversion);
    if (error) {
        *memory = error == ENOMEM;
        free(made.data);
        return false;
    }
    *out = made.data;
    *out_size = made.size;
    return true;
}

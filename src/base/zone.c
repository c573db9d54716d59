/* SPDX-License-Identifier: MIT */

#include "base/zone.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/usr/share/zoneinfo/"

enum { FILE_MAX = 1 << 18, HEADER = 44, TYPE = 6, CHANGES_MAX = 10000 };

typedef struct change {
    int64_t from; /* seconds since 1970 */
    int offset;
} change;

struct mqlua_zone {
    size_t count;
    int first; /* offset before the first change */
    change changes[];
};

/* The counts of a header, in their order in the file. */
enum { UT, STANDARD, LEAPS, TIMES, TYPES, CHARACTERS, COUNTS };
typedef struct header {
    char version;
    size_t counts[COUNTS];
} header;

static uint64_t big_endian(const char *bytes, int size)
{
    uint64_t number = 0;
    for (int i = 0; i < size; i++)
        number = number << 8 | (unsigned char)bytes[i];
    return number;
}

static bool read_header(const char *bytes, size_t size, header *h)
{
    if (size < HEADER || memcmp(bytes, "TZif", 4) != 0)
        return false;
    h->version = bytes[4];
    for (int i = 0; i < COUNTS; i++) {
        h->counts[i] = (size_t)big_endian(bytes + 20 + 4 * i, 4);
        if (h->counts[i] > CHANGES_MAX)
            return false;
    }
    return true;
}

/* Bytes of the data behind a header whose times have width bytes. */
static size_t data_size(const header *h, size_t width)
{
    const size_t *n = h->counts;
    return n[TIMES] * (width + 1) + n[TYPES] * TYPE + n[CHARACTERS] + n[LEAPS] * (width + 4) + n[STANDARD] +
           n[UT];
}

static mqlua_zone *read_data(const char *bytes, const header *h, int width)
{
    const size_t times = h->counts[TIMES], types = h->counts[TYPES];
    const char *indices = bytes + times * (size_t)width, *type = indices + times;
    mqlua_zone *zone = calloc(1, sizeof *zone + times * sizeof(change));
    if (!zone)
        return NULL;
    zone->count = times;
    zone->first = (int32_t)big_endian(type, 4);
    for (size_t i = 0; i < times; i++) {
        size_t index = (unsigned char)indices[i];
        uint64_t from = big_endian(bytes + i * (size_t)width, width);
        zone->changes[i].from = width == 4 ? (int32_t)from : (int64_t)from;
        zone->changes[i].offset = (int32_t)big_endian(type + TYPE * (index < types ? index : 0), 4);
    }
    return zone;
}

mqlua_zone *mqlua_zone_parse(const char *bytes, size_t size, char **error)
{
    header h;
    size_t at = 0;
    int width = 4;
    bool good = read_header(bytes, size, &h);
    if (good && h.version >= '2') { /* the same once more, with times of 64 bits */
        at = HEADER + data_size(&h, 4);
        width = 8;
        good = at < size && read_header(bytes + at, size - at, &h);
    }
    good = good && h.counts[TYPES] && data_size(&h, (size_t)width) <= size - at - HEADER;
    if (!good) {
        mqlua_error_set(error, "this is no file of a time zone");
        return NULL;
    }
    mqlua_zone *zone = read_data(bytes + at + HEADER, &h, width);
    if (!zone)
        mqlua_error_set(error, "not enough memory");
    return zone;
}

/* Letters, digits, '_', '-', '+' and '/', and nothing that leaves the folder. */
static bool is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/";
    size_t size = strlen(name);
    return size > 0 && size < 64 && name[0] != '/' && strspn(name, allowed) == size;
}

mqlua_zone *mqlua_zone_load(const char *name, char **error)
{
    char path[sizeof FOLDER + 64], *why = NULL;
    struct stat info;
    mqlua_zone *zone = NULL;
    if (!is_name(name)) {
        mqlua_error_set(error, "'%.64s' is no name of a time zone such as Europe/Berlin", name);
        return NULL;
    }
    memcpy(path, FOLDER, sizeof FOLDER);
    strcat(path, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *bytes = malloc(FILE_MAX);
    ssize_t size =
        fd >= 0 && bytes && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? read(fd, bytes, FILE_MAX) : -1;
    if (size >= 0)
        zone = mqlua_zone_parse(bytes, (size_t)size, &why);
    if (fd < 0)
        mqlua_error_set(error, "%s: %s (the package tzdata brings time zones)", path,
                        mqlua_error_text(errno));
    else if (!zone)
        mqlua_error_set(error, "%s: %s", path, why ? why : "it cannot be read");
    free(why);
    free(bytes);
    if (fd >= 0)
        close(fd);
    return zone;
}

void mqlua_zone_free(mqlua_zone *zone)
{
    free(zone);
}

int mqlua_zone_offset(const mqlua_zone *zone, int64_t time)
{
    size_t low = 0,
           high = zone->count; /* the changes before low are not later than time, those from high on are */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (zone->changes[middle].from <= time)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? zone->changes[low - 1].offset : zone->first;
}

/* SPDX-License-Identifier: MIT */
#include "base/cidr.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 64 }; /* longer than any address with prefix and zone that we accept */

typedef struct address {
    uint8_t bytes[16];
    bool v4; /* only the first four bytes are used */
} address;

typedef struct range {
    uint8_t low[16], high[16];
} range;

typedef struct family {
    range *ranges;
    size_t count, room;
} family;

struct mqlua_cidr {
    family v4, v6;
    mqlua_cidr_resize *resize;
    void *ud;
};

static void *resize_plain(void *ud, void *block, size_t size, size_t wanted)
{
    if (wanted)
        return realloc(block, wanted);
    free(block);
    return NULL;
}

mqlua_cidr *mqlua_cidr_new(mqlua_cidr_resize *resize, void *ud)
{
    mqlua_cidr *cidr = calloc(1, sizeof *cidr);
    if (cidr) {
        cidr->resize = resize ? resize : resize_plain;
        cidr->ud = ud;
    }
    return cidr;
}

static void free_family(mqlua_cidr *cidr, family *f)
{
    if (f->ranges)
        cidr->resize(cidr->ud, f->ranges, f->room * sizeof *f->ranges, 0);
}

void mqlua_cidr_free(mqlua_cidr *cidr)
{
    if (!cidr)
        return;
    free_family(cidr, &cidr->v4);
    free_family(cidr, &cidr->v6);
    free(cidr);
}

static bool is_mapped(const uint8_t *bytes)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(bytes, prefix, sizeof prefix) == 0;
}

static bool parse_address(const char *text, address *out)
{
    memset(out, 0, sizeof *out);
    out->v4 = inet_pton(AF_INET, text, out->bytes) == 1;
    return out->v4 || inet_pton(AF_INET6, text, out->bytes) == 1;
}

/* What dual-stack sockets show of an IPv4 peer becomes that IPv4 address. */
static void unmap(address *addr)
{
    if (addr->v4 || !is_mapped(addr->bytes))
        return;
    memmove(addr->bytes, addr->bytes + 12, 4);
    memset(addr->bytes + 4, 0, 12);
    addr->v4 = true;
}

/* The digits of a prefix length up to most; -1 when they are none. */
static int parse_prefix(const char *text, int most)
{
    size_t size = strlen(text);
    if (size < 1 || size > 3 || strspn(text, "0123456789") != size)
        return -1;
    int value = atoi(text);
    return value <= most ? value : -1;
}

static bool add_range(mqlua_cidr *cidr, family *to, const uint8_t *low, int prefix, size_t width)
{
    if (to->count == to->room) {
        size_t room = to->room ? to->room * 2 : 16;
        range *grown = cidr->resize(cidr->ud, to->ranges, to->room * sizeof *grown, room * sizeof *grown);
        if (!grown)
            return false;
        to->ranges = grown;
        to->room = room;
    }
    range *r = &to->ranges[to->count++];
    memset(r, 0, sizeof *r);
    memcpy(r->low, low, width);
    for (size_t i = 0; i < width; i++) {
        int fixed = prefix - (int)i * 8;
        uint8_t open = fixed >= 8 ? 0 : fixed <= 0 ? 0xff : (uint8_t)(0xff >> fixed);
        r->high[i] = r->low[i] | open;
    }
    return true;
}

/* Clears the bits behind the prefix; true when one was set. */
static bool clear_host_bits(uint8_t *bytes, int prefix, size_t width)
{
    bool had = false;
    for (size_t i = 0; i < width; i++) {
        int fixed = prefix - (int)i * 8;
        uint8_t open = fixed >= 8 ? 0 : fixed <= 0 ? 0xff : (uint8_t)(0xff >> fixed);
        had |= (bytes[i] & open) != 0;
        bytes[i] &= (uint8_t)~open;
    }
    return had;
}

bool mqlua_cidr_add(mqlua_cidr *cidr, const char *text, size_t size, char **error)
{
    char copy[TEXT_MAX];
    int shown = size > 100 ? 100 : (int)size;
    address addr;
    if (size >= sizeof copy || memchr(text, 0, size)) {
        mqlua_error_set(error, "'%.*s' is not an IP address or network", shown, text);
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = 0;
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = 0;
    if (!parse_address(copy, &addr)) {
        mqlua_error_set(error, "'%.*s' is not an IP address or network", shown, text);
        return false;
    }
    int width = addr.v4 ? 4 : 16;
    int prefix = slash ? parse_prefix(slash + 1, width * 8) : width * 8;
    if (prefix < 0) {
        mqlua_error_set(error, "'%s/%s': the prefix must be a number from 0 to %d", copy, slash + 1,
                        width * 8);
        return false;
    }
    if (clear_host_bits(addr.bytes, prefix, (size_t)width)) {
        char right[INET6_ADDRSTRLEN];
        inet_ntop(addr.v4 ? AF_INET : AF_INET6, addr.bytes, right, sizeof right);
        mqlua_error_set(error, "'%.*s' has bits set behind the prefix: '%s/%d' is the network", shown, text,
                        right, prefix);
        return false;
    }
    if (!addr.v4 && prefix >= 96 && is_mapped(addr.bytes)) {
        unmap(&addr);
        prefix -= 96;
    }
    if (!add_range(cidr, addr.v4 ? &cidr->v4 : &cidr->v6, addr.bytes, prefix, addr.v4 ? 4 : 16)) {
        mqlua_error_set(error, "not enough memory for '%.*s'", shown, text);
        return false;
    }
    return true;
}

typedef struct sorting {
    range *ranges;
    void (*step)(void *ud, size_t count);
    void *ud;
    size_t done;
} sorting;

static bool is_less(const sorting *s, size_t a, size_t b)
{
    return memcmp(s->ranges[a].low, s->ranges[b].low, sizeof s->ranges[a].low) < 0;
}

static void swap(sorting *s, size_t a, size_t b)
{
    range kept = s->ranges[a];
    s->ranges[a] = s->ranges[b];
    s->ranges[b] = kept;
}

static void sift_down(sorting *s, size_t root, size_t count)
{
    for (size_t child; (child = root * 2 + 1) < count; root = child) {
        if (child + 1 < count && is_less(s, child, child + 1))
            child++;
        if (++s->done % 1024 == 0 && s->step)
            s->step(s->ud, 1024);
        if (!is_less(s, root, child))
            return;
        swap(s, root, child);
    }
}

/* In place: qsort takes memory that nobody counts, and nothing can stop it. */
static void sort_ranges(sorting *s, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sift_down(s, i - 1, count);
    for (size_t i = count; i > 1; i--) {
        swap(s, 0, i - 1);
        sift_down(s, 0, i - 1);
    }
}

/* Networks either nest or lie apart, so after sorting it is enough to drop those inside their predecessor. */
static void finish_family(family *f, void (*step)(void *ud, size_t count), void *ud)
{
    if (!f->count)
        return;
    sort_ranges(&(sorting){.ranges = f->ranges, .step = step, .ud = ud}, f->count);
    size_t kept = 0;
    for (size_t i = 1; i < f->count; i++) {
        range *last = &f->ranges[kept];
        if (memcmp(f->ranges[i].low, last->high, 16) > 0)
            f->ranges[++kept] = f->ranges[i];
        else if (memcmp(f->ranges[i].high, last->high, 16) > 0)
            memcpy(last->high, f->ranges[i].high, 16);
    }
    f->count = kept + 1;
}

void mqlua_cidr_finish_steps(mqlua_cidr *cidr, void (*step)(void *ud, size_t count), void *ud)
{
    finish_family(&cidr->v4, step, ud);
    finish_family(&cidr->v6, step, ud);
}

void mqlua_cidr_finish(mqlua_cidr *cidr)
{
    mqlua_cidr_finish_steps(cidr, NULL, NULL);
}

mqlua_cidr *mqlua_cidr_parse(char *const *texts, char **error)
{
    mqlua_cidr *cidr = mqlua_cidr_new(NULL, NULL);
    if (!cidr)
        mqlua_error_set(error, "not enough memory");
    for (; cidr && texts && *texts; texts++) {
        if (!mqlua_cidr_add(cidr, *texts, strlen(*texts), error)) {
            mqlua_cidr_free(cidr);
            cidr = NULL;
        }
    }
    if (cidr)
        mqlua_cidr_finish(cidr);
    return cidr;
}

static bool contains(const mqlua_cidr *cidr, address *addr)
{
    unmap(addr);
    const family *f = addr->v4 ? &cidr->v4 : &cidr->v6;
    size_t low = 0, high = f->count; /* the last range that begins at or before addr is at low - 1 */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(f->ranges[middle].low, addr->bytes, 16) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && memcmp(addr->bytes, f->ranges[low - 1].high, 16) <= 0;
}

bool mqlua_cidr_contains(const mqlua_cidr *cidr, const struct sockaddr *sa)
{
    address addr = {.v4 = true};
    if (!cidr || !sa)
        return false;
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        memcpy(addr.bytes, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        memcpy(addr.bytes, &in6.sin6_addr, 16);
        addr.v4 = false;
    } else {
        return false;
    }
    return contains(cidr, &addr);
}

int mqlua_cidr_contains_text(const mqlua_cidr *cidr, const char *text, size_t size)
{
    char copy[TEXT_MAX];
    address addr;
    const char *zone = memchr(text, '%', size);
    if (zone)
        size = (size_t)(zone - text);
    if (size >= sizeof copy || memchr(text, 0, size))
        return -1;
    memcpy(copy, text, size);
    copy[size] = 0;
    return parse_address(copy, &addr) ? contains(cidr, &addr) : -1;
}

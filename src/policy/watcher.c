/* SPDX-License-Identifier: MIT */
#include "policy/watcher.h"
#include "policy/bundle_internal.h"
#include "policy/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const double BUSY_SECONDS = 10; /* of a change that does not come to rest, before it is told */
static const double REST = 0.05;       /* seconds between two looks at what the kernel reports */
static const double SHARE = 100;       /* looking may take this part of the time */
static const double RACY =
    0.1; /* seconds: versions younger than this may be told apart from the next by nothing */

enum {
    EVENTS = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_MODIFY | IN_CLOSE_WRITE |
             IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
    WRITTEN = IN_MODIFY | IN_CLOSE_WRITE,
    WRITERS = 64,
    DRAINED = 64, /* reads at a time; the rest comes with the next ones */
};

/* What the kernel reports is worth. */
typedef enum reported {
    NOTHING,
    LOOK,   /* a link may lead elsewhere, something came or went */
    CHANGE, /* about a file of the policy: it is not quiet */
} reported;

/* A file that was changed and has not been closed since. */
typedef struct writing {
    int folder; /* watch descriptor */
    char name[NAME_MAX + 1];
} writing;

struct mqlua_watcher {
    char *folder;
    double quiet, poll;
    int inotify, wake;
    char **names; /* the files of the policy, and what was missing */
    size_t name_count;
    uint64_t known;  /* the look of what was read last */
    double drained;  /* when that was looked at */
    bool new_folder; /* one on the way to a file came or went */
    bool told;       /* the kernel reported a change that a look may miss */
    double next_look;
    bool changed;  /* something differs from known ... */
    uint64_t last; /* ... when last looked */
    double since, settles;
    bool busy_told;
    writing writers[WRITERS];
    size_t writer_count;
    char *open; /* for mqlua_watcher_writing */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- looking ---- */

/* A sum of these does not depend on the order. st NULL: there is no such file. */
static uint64_t version_of(const char *name, const struct stat *st)
{
    uint64_t parts[7] = {0};
    if (st)
        memcpy(parts,
               (uint64_t[7]){st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
                             (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec,
                             (uint64_t)st->st_ctim.tv_nsec},
               sizeof parts);
    return XXH3_64bits_withSeed(parts, sizeof parts, XXH3_64bits(name, strlen(name)));
}

typedef struct look {
    mqlua_watcher *watcher;
    int folder_fd;
    uint64_t sum;
} look;

static void look_end(look *l)
{
    if (l->folder_fd >= 0)
        close(l->folder_fd);
}

/* A folder that cannot be read looks like an empty one. */
static void look_begin(look *l, mqlua_watcher *w)
{
    struct stat st;
    *l = (look){.watcher = w};
    l->folder_fd = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < w->name_count; i++) {
        bool there = l->folder_fd >= 0 && fstatat(l->folder_fd, w->names[i], &st, 0) == 0;
        l->sum += version_of(w->names[i], there ? &st : NULL);
    }
}

static uint64_t look_once(mqlua_watcher *w)
{
    look l;
    double begun = now();
    look_begin(&l, w);
    look_end(&l);
    double took = now() - begun;
    double pause = w->poll < took * SHARE ? took * SHARE : w->poll;
    w->next_look = w->poll > 0 ? begun + took + pause : INFINITY;
    return l.sum;
}

static bool written(look *l, const char *name)
{
    int fd = l->folder_fd < 0 ? -1 : openat(l->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool is = fd >= 0 && mqlua_writer_has(fd);
    if (fd >= 0)
        close(fd);
    if (is)
        l->watcher->open = strdup(name);
    return is;
}

/* Is one of the files open for writing? */
static bool being_written(mqlua_watcher *w)
{
    look l;
    bool is = w->writer_count > 0;
    free(w->open);
    w->open = is ? strdup(w->writers[0].name) : NULL;
    if (is)
        return true;
    look_begin(&l, w);
    for (size_t i = 0; !is && i < w->name_count; i++)
        is = written(&l, w->names[i]);
    look_end(&l);
    return is;
}

/* ---- what the kernel reports ---- */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool relevant(const mqlua_watcher *w, const char *name)
{
    for (size_t i = 0; i < w->name_count; i++)
        if (strcmp(base_of(w->names[i]), name) == 0)
            return true;
    return false;
}

static void note_writer(mqlua_watcher *w, const struct inotify_event *event)
{
    size_t i = 0;
    while (i < w->writer_count &&
           (w->writers[i].folder != event->wd || strcmp(w->writers[i].name, event->name) != 0))
        i++;
    bool known = i < w->writer_count;
    if (event->mask & IN_MODIFY && !known && i < WRITERS) {
        w->writers[i].folder = event->wd;
        snprintf(w->writers[i].name, sizeof w->writers[i].name, "%s", event->name);
        w->writer_count++;
    } else if (!(event->mask & IN_MODIFY) && known) {
        w->writers[i] = w->writers[--w->writer_count];
    }
}

/* A folder on the way to a file of the policy, by its own name. */
static bool has_part(const char *path, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = path; (at = strstr(at, name)); at += size)
        if ((at == path || at[-1] == '/') && (at[size] == '/' || !at[size]))
            return true;
    return false;
}

static bool is_on_the_way(const mqlua_watcher *w, const char *name)
{
    bool is = has_part(w->folder, name);
    for (size_t i = 0; i < w->name_count && !is; i++)
        is = has_part(w->names[i], name);
    return is;
}

static reported note_event(mqlua_watcher *w, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        w->writer_count = 0;
        w->told = true;
        return LOOK;
    }
    if (event->len && event->mask & IN_ISDIR)
        w->new_folder |= is_on_the_way(w, event->name);
    if (!event->len || event->mask & IN_ISDIR)
        return LOOK;
    if (!relevant(w, event->name))
        return event->mask & WRITTEN ? NOTHING
                                     : LOOK; /* a link may have been turned: ..data of a config map */
    if (event->mask & (WRITTEN | IN_MOVED_FROM | IN_DELETE))
        note_writer(w, event);
    w->told |= (event->mask & WRITTEN) != 0;
    return CHANGE;
}

static reported drain(mqlua_watcher *w)
{
    _Alignas(struct inotify_event) char buffer[16384];
    reported worth = NOTHING;
    ssize_t size;
    for (int i = 0; i < DRAINED && (size = read(w->inotify, buffer, sizeof buffer)) > 0; i++) {
        for (char *at = buffer; at < buffer + size;) {
            const struct inotify_event *event = (const void *)at;
            reported what = note_event(w, event);
            worth = what > worth ? what : worth;
            at += sizeof *event + event->len;
        }
    }
    return worth;
}

/* The folder of a file, or the nearest one above it that is there. */
static void watch_above(mqlua_watcher *w, const char *name)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : w->folder, name[0] == '/' ? "" : "/",
                 name) >= (int)sizeof path)
        return; /* what is not reported is found by polling */
    for (char *slash; (slash = strrchr(path, '/')) && slash != path;) {
        *slash = '\0';
        if (inotify_add_watch(w->inotify, path, EVENTS) >= 0 || errno != ENOENT)
            return;
    }
}

/* New watches: folders come and go. */
static void watch_folders(mqlua_watcher *w)
{
    if (w->inotify >= 0)
        close(w->inotify);
    w->writer_count = 0;
    w->new_folder = false;
    w->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->inotify < 0)
        return;
    watch_above(w, "policy");
    for (size_t i = 0; i < w->name_count; i++)
        watch_above(w, w->names[i]);
}

/* ---- following ---- */

static void free_names(mqlua_watcher *w)
{
    for (size_t i = 0; i < w->name_count; i++)
        free(w->names[i]);
    free(w->names);
    w->names = NULL;
    w->name_count = 0;
}

static bool add_name(mqlua_watcher *w, const char *name)
{
    char **grown = realloc(w->names, (w->name_count + 1) * sizeof *grown);
    if (!grown)
        return false;
    w->names = grown;
    grown[w->name_count] = strdup(name);
    w->name_count += grown[w->name_count] != NULL;
    return true;
}

static bool is_racy(const struct stat *st)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    double age = (double)(t.tv_sec - st->st_ctim.tv_sec) + (double)(t.tv_nsec - st->st_ctim.tv_nsec) * 1e-9;
    return age < RACY;
}

static void follow_bundle(mqlua_watcher *w, const mqlua_bundle *bundle)
{
    free_names(w);
    w->known = 0;
    for (const mqlua_file *file = bundle->files; file; file = file->next) {
        const mqlua_bundle_file_entry *entry = (const void *)file;
        add_name(w, file->name);
        w->known += version_of(file->name, &entry->st);
        w->told |= is_racy(&entry->st);
    }
    for (const mqlua_bundle_missing *missing = bundle->missing; missing; missing = missing->next) {
        add_name(w, missing->name);
        w->known += version_of(missing->name, NULL);
    }
}

void mqlua_watcher_follow(mqlua_watcher *w, const mqlua_bundle *bundle)
{
    if (bundle && bundle->files)
        follow_bundle(w, bundle);
    watch_folders(w);
    w->next_look = now(); /* what changed before the watches were there */
}

/* ---- waiting ---- */

/* True: somebody woke the watcher. What the kernel reports is looked at a few times a second at most: files
 * that are written beside a policy cost no more than that, however many they are. */
static bool sleep_until(mqlua_watcher *w, double until, reported *what)
{
    double next = w->drained + REST, begun = now();
    bool rests = begun < next;
    struct pollfd fds[2] = {{.fd = w->wake, .events = POLLIN},
                            {.fd = rests ? -1 : w->inotify, .events = POLLIN}};
    double left = (rests && next < until ? next : until) - begun;
    uint64_t count;
    poll(fds, 2, left > 0 ? (int)(left * 1000) + 1 : 0);
    *what = NOTHING;
    if (w->inotify >= 0 && fds[1].revents) {
        *what = drain(w);
        w->drained = now();
    }
    return read(w->wake, &count, sizeof count) > 0;
}

static void begin_change(mqlua_watcher *w, uint64_t seen)
{
    w->changed = true;
    w->busy_told = false;
    w->last = seen;
    w->since = now();
    w->settles = w->since + w->quiet;
}

static void look_for_change(mqlua_watcher *w)
{
    uint64_t seen = look_once(w);
    if (seen != w->known || w->told)
        begin_change(w, seen);
}

/* The quiet time is over: has it been quiet? */
static mqlua_watched settle(mqlua_watcher *w)
{
    uint64_t seen = look_once(w);
    bool still = seen == w->last && !being_written(w);
    w->last = seen;
    if (still) {
        w->changed = false;
        if (seen == w->known && !w->told)
            return MQLUA_WATCHED_NOTHING; /* changed and changed back */
        w->known = seen;
        w->told = false;
        return MQLUA_WATCHED_CHANGE;
    }
    w->settles = now() + w->quiet;
    if (w->busy_told || now() - w->since < BUSY_SECONDS)
        return MQLUA_WATCHED_NOTHING;
    w->busy_told = true;
    return MQLUA_WATCHED_BUSY;
}

mqlua_watched mqlua_watcher_wait(mqlua_watcher *w, double seconds)
{
    double end = now() + seconds;
    for (;;) {
        reported what_is;
        double until = w->changed ? w->settles : w->next_look;
        bool woken = sleep_until(w, until < end ? until : end, &what_is);
        if (w->new_folder)
            watch_folders(w);
        if (w->changed && what_is == CHANGE)
            w->settles = now() + w->quiet;
        mqlua_watched what = MQLUA_WATCHED_NOTHING;
        if (w->changed && now() >= w->settles)
            what = settle(w);
        else if (!w->changed && (what_is != NOTHING || now() >= until))
            look_for_change(w);
        if (what != MQLUA_WATCHED_NOTHING || woken || now() >= end)
            return what;
    }
}

const char *mqlua_watcher_writing(const mqlua_watcher *watcher)
{
    return watcher->open;
}

void mqlua_watcher_wake(mqlua_watcher *watcher)
{
    uint64_t one = 1;
    ssize_t written = write(watcher->wake, &one, sizeof one);
    (void)written; /* full: it is awake already */
}

/* ---- life ---- */

mqlua_watcher *mqlua_watcher_new(const char *entry, double quiet, double poll)
{
    mqlua_watcher *w = calloc(1, sizeof *w);
    const char *slash = strrchr(entry, '/');
    if (!w || !slash)
        goto fail;
    w->inotify = -1;
    w->quiet = quiet > RACY ? quiet : RACY; /* or what was read would have to be read again */
    w->poll = poll;
    w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    w->folder = strndup(entry, slash == entry ? 1 : (size_t)(slash - entry));
    if (w->wake < 0 || !w->folder || !add_name(w, slash + 1))
        goto fail;
    w->known = look_once(w);
    return w;
fail:
    mqlua_watcher_free(w);
    return NULL;
}

void mqlua_watcher_free(mqlua_watcher *w)
{
    if (!w)
        return;
    free_names(w);
    if (w->inotify >= 0)
        close(w->inotify);
    if (w->wake > 0)
        close(w->wake);
    free(w->open);
    free(w->folder);
    free(w);
}

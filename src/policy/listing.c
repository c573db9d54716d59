/* SPDX-License-Identifier: MIT */
#include "policy/listing.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct walk {
    mqlua_listing *listing;
    const char *folder;
    size_t items; /* looked at so far */
    char **error;
} walk;

bool mqlua_listing_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool mqlua_listing_wants(const char *name)
{
    size_t size = strlen(name);
    return name[0] != '.' && size > 4 && strcmp(name + size - 4, ".lua") == 0;
}

static bool add(mqlua_listed **list, size_t *count, size_t *room, const char *name, const struct stat *st)
{
    if (*count == *room) {
        size_t more = *room ? *room * 2 : 32;
        mqlua_listed *grown = realloc(*list, more * sizeof *grown);
        if (!grown)
            return false;
        *list = grown;
        *room = more;
    }
    mqlua_listed *item = &(*list)[*count];
    item->st = *st;
    item->name = strdup(name);
    *count += item->name != NULL;
    return item->name != NULL;
}

static bool add_file(walk *w, const char *name, const struct stat *st)
{
    mqlua_listing *l = w->listing;
    if (l->count == MQLUA_LISTING_FILES) {
        mqlua_error_set(w->error, "%s: more than %d Lua files", w->folder, MQLUA_LISTING_FILES);
        return false;
    }
    return add(&l->files, &l->count, &l->room, name, st);
}

static bool walk_folder(walk *w, int fd, const char *prefix, int depth);

static bool walk_subfolder(walk *w, int parent, const char *name, const char *path, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
        return true; /* somebody else's: who requires what is in it is told */
    if (fd < 0) {
        mqlua_error_set(w->error, "%s/%s: %s", w->folder, path, mqlua_error_text(errno));
        return false;
    }
    return walk_folder(w, fd, path, depth + 1);
}

static bool walk_item(walk *w, int fd, const char *prefix, const char *name, int depth)
{
    char path[PATH_MAX];
    struct stat st;
    if (name[0] == '.')
        return true;
    int size = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "", name);
    if (size >= (int)sizeof path || fstatat(fd, name, &st, 0) < 0)
        return true; /* a dangling link, or just deleted: require will say what is missing */
    if (S_ISDIR(st.st_mode) && depth < MQLUA_LISTING_DEPTH)
        return walk_subfolder(w, fd, name, path, depth);
    return !S_ISREG(st.st_mode) || !mqlua_listing_wants(name) || add_file(w, path, &st);
}

/* Each folder is gone through once, whatever links lead to it. */
static bool was_there(const mqlua_listing *l, const struct stat *folder)
{
    for (size_t i = 0; i < l->folder_count; i++)
        if (l->folders[i].st.st_dev == folder->st_dev && l->folders[i].st.st_ino == folder->st_ino)
            return true;
    return false;
}

static bool may_go_on(walk *w)
{
    if (++w->items <= MQLUA_LISTING_ITEMS && w->listing->folder_count < MQLUA_LISTING_FOLDERS)
        return true;
    mqlua_error_set(w->error, "%s: more than %d folders, or %d files and folders", w->folder,
                    MQLUA_LISTING_FOLDERS, MQLUA_LISTING_ITEMS);
    return false;
}

/* Goes through fd, which it closes. */
static bool walk_folder(walk *w, int fd, const char *prefix, int depth)
{
    mqlua_listing *l = w->listing;
    struct stat self;
    bool good = fstat(fd, &self) == 0;
    if (good && (was_there(l, &self) || !may_go_on(w))) {
        close(fd);
        return l->folder_count < MQLUA_LISTING_FOLDERS;
    }
    good = good && add(&l->folders, &l->folder_count, &l->folder_room, prefix, &self);
    DIR *folder = good ? fdopendir(fd) : NULL;
    if (!folder) {
        mqlua_error_set(w->error, "%s/%s: %s", w->folder, prefix, mqlua_error_text(errno));
        close(fd);
        return false;
    }
    struct dirent *item;
    while (good && (errno = 0, item = readdir(folder)))
        good = may_go_on(w) && walk_item(w, fd, prefix, item->d_name, depth);
    closedir(folder);
    return good;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const mqlua_listed *)a)->name, ((const mqlua_listed *)b)->name);
}

bool mqlua_listing_read(mqlua_listing *listing, int folder_fd, const char *folder, char **error)
{
    walk w = {.listing = listing, .folder = folder, .error = error};
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !walk_folder(&w, fd, "", 0)) {
        mqlua_error_set(error, "%s: %s", folder, mqlua_error_text(fd < 0 ? errno : ENOMEM));
        return false;
    }
    if (listing->count)
        qsort(listing->files, listing->count, sizeof *listing->files, by_name);
    return true;
}

static void free_list(mqlua_listed *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].name);
    free(list);
}

void mqlua_listing_free(mqlua_listing *listing)
{
    free_list(listing->files, listing->count);
    free_list(listing->folders, listing->folder_count);
    *listing = (mqlua_listing){0};
}

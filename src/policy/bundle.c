/* SPDX-License-Identifier: MIT */
#include "policy/bundle_internal.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void free_file(mqlua_file *file)
{
    if (file->parsed && file->free_parsed)
        file->free_parsed(file->parsed);
    free(file->path);
    free(file->name);
    free(file->text);
    free(file);
}

void mqlua_bundle_clear(mqlua_bundle *bundle)
{
    while (bundle->files) {
        mqlua_file *file = bundle->files;
        bundle->files = file->next;
        free_file(file);
    }
    while (bundle->missing) {
        mqlua_bundle_missing *missing = bundle->missing;
        bundle->missing = missing->next;
        free(missing->name);
        free(missing);
    }
    bundle->tail = &bundle->files;
    bundle->entry = NULL;
    bundle->count = bundle->bytes = 0;
    bundle->any_owner = bundle->mixed_owners = false;
}

mqlua_bundle *mqlua_bundle_new(const char *folder, size_t folder_size, const char *entry_name)
{
    mqlua_bundle *bundle = calloc(1, sizeof *bundle);
    if (!bundle)
        return NULL;
    atomic_init(&bundle->refs, 1);
    bundle->folder_fd = -1;
    bundle->tail = &bundle->files;
    bundle->folder = strndup(folder, folder_size);
    bundle->entry_name = strdup(entry_name);
    if (bundle->folder && bundle->entry_name && pthread_mutex_init(&bundle->parsing, NULL) == 0)
        return bundle;
    free(bundle->folder);
    free(bundle->entry_name);
    free(bundle);
    return NULL;
}

mqlua_bundle *mqlua_bundle_ref(mqlua_bundle *bundle)
{
    atomic_fetch_add_explicit(&bundle->refs, 1, memory_order_relaxed);
    return bundle;
}

void mqlua_bundle_unref(mqlua_bundle *bundle)
{
    if (!bundle || atomic_fetch_sub_explicit(&bundle->refs, 1, memory_order_acq_rel) != 1)
        return;
    mqlua_bundle_clear(bundle);
    if (bundle->folder_fd >= 0)
        close(bundle->folder_fd);
    pthread_mutex_destroy(&bundle->parsing);
    free(bundle->folder);
    free(bundle->entry_name);
    free(bundle);
}

void mqlua_bundle_note_owner(mqlua_bundle *bundle, const struct stat *st)
{
    if (st->st_mode & (S_IWGRP | S_IWOTH) || (bundle->any_owner && bundle->owner != st->st_uid))
        bundle->mixed_owners = true;
    bundle->any_owner = true;
    bundle->owner = st->st_uid;
}

bool mqlua_bundle_owned_by(const mqlua_bundle *bundle, uid_t uid)
{
    return bundle->any_owner && !bundle->mixed_owners && bundle->owner == uid;
}

mqlua_file *mqlua_bundle_find(const mqlua_bundle *bundle, const char *name, mqlua_file_kind kind)
{
    for (mqlua_file *file = bundle->files; file; file = file->next)
        if (file->kind == kind && strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    if (name[0] == '/')
        return strdup(name);
    if (asprintf(&path, "%s%s%s", folder, strcmp(folder, "/") ? "/" : "", name) < 0)
        return NULL;
    return path;
}

mqlua_file *mqlua_bundle_add(mqlua_bundle *bundle, const char *name, mqlua_file_kind kind, char *text,
                             size_t size, const struct stat *st, char **error)
{
    if (bundle->count == MQLUA_BUNDLE_FILES || size > MQLUA_BUNDLE_BYTES - bundle->bytes) {
        mqlua_error_set(error, "%s: the policy has more than %d files or %d MB", name, MQLUA_BUNDLE_FILES,
                        MQLUA_BUNDLE_BYTES >> 20);
        free(text);
        return NULL;
    }
    mqlua_bundle_file_entry *entry = calloc(1, sizeof *entry);
    if (entry) {
        entry->file.name = strdup(name);
        entry->file.path = join(bundle->folder, name);
    }
    if (!entry || !entry->file.name || !entry->file.path) {
        mqlua_error_set(error, "%s: not enough memory", name);
        if (entry)
            free_file(&entry->file);
        free(text);
        return NULL;
    }
    mqlua_file *file = &entry->file;
    file->text = text;
    file->size = size;
    file->kind = kind;
    if (st) {
        entry->st = *st;
        mqlua_bundle_note_owner(bundle, st);
    }
    *bundle->tail = file;
    bundle->tail = &file->next;
    bundle->count++;
    bundle->bytes += size;
    if (kind == MQLUA_FILE_LUA && strcmp(name, bundle->entry_name) == 0)
        bundle->entry = file;
    return file;
}

/* Absolute, without "." and doubled slashes. ".." stays: what it means depends on symbolic links. */
static char *normalize(const char *folder, const char *path)
{
    char *full = join(folder, path);
    if (!full)
        return NULL;
    char *to = full;
    for (char *from = full; *from;) {
        size_t slashes = strspn(from, "/");
        from += slashes;
        size_t part = strcspn(from, "/");
        if (part == 0 || (part == 1 && from[0] == '.')) {
            from += part;
            continue;
        }
        *to++ = '/';
        memmove(to, from, part);
        to += part;
        from += part;
    }
    if (to == full)
        *to++ = '/';
    *to = 0;
    return full;
}

/* The part of path below folder, or NULL when it lies elsewhere. */
static const char *below(const char *folder, const char *path)
{
    size_t size = strcmp(folder, "/") ? strlen(folder) : 0;
    if (strncmp(path, folder, size) != 0 || path[size] != '/' || !path[size + 1])
        return NULL;
    const char *name = path + size + 1;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
            return NULL;
    }
    return name;
}

/* Without memory for it, the file is not watched: it will be read with the next reload. */
static void note_missing(mqlua_bundle *bundle, const char *name, int why)
{
    mqlua_bundle_missing *missing = calloc(1, sizeof *missing);
    if (missing && (missing->name = strdup(name))) {
        missing->absent = why == ENOENT || why == ENOTDIR;
        missing->next = bundle->missing;
        bundle->missing = missing;
    } else {
        free(missing);
    }
}

/* Who may change a folder of the policy decides what is read from it. */
static void note_folders(mqlua_bundle *bundle, const char *name)
{
    struct stat st;
    char path[PATH_MAX];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t size = (size_t)(slash - name);
        if (!size || size >= sizeof path)
            continue;
        memcpy(path, name, size);
        path[size] = '\0';
        if (name[0] != '/' && fstatat(bundle->folder_fd, path, &st, 0) == 0)
            mqlua_bundle_note_owner(bundle, &st);
    }
}

static mqlua_file *read_now(mqlua_bundle *bundle, const char *name, mqlua_file_kind kind, char **error)
{
    struct stat st;
    size_t size;
    char *why = NULL;
    char *text = mqlua_bundle_read(bundle->folder_fd, name, &size, &st, &why);
    if (text) {
        note_folders(bundle, name);
        return mqlua_bundle_add(bundle, name, kind, text, size, &st, error);
    }
    note_missing(bundle, name, errno);
    char *full = join(bundle->folder, name);
    mqlua_error_set(error, "%s: %s", full ? full : name, why ? why : "not enough memory");
    free(full);
    free(why);
    return NULL;
}

mqlua_file *mqlua_bundle_file(mqlua_bundle *bundle, const char *path, mqlua_file_kind kind, char **error)
{
    if (error)
        *error = NULL;
    char *full = normalize(bundle->folder, path);
    if (!full) {
        mqlua_error_set(error, "%s: not enough memory", path);
        return NULL;
    }
    const char *inside = below(bundle->folder, full);
    const char *name = inside ? inside : full;
    mqlua_file *file = mqlua_bundle_find(bundle, name, kind);
    if (!file && !bundle->sealed)
        file = read_now(bundle, name, kind, error);
    else if (!file)
        mqlua_error_set(
            error, "%s: not part of the policy as it was read: files are read only while the policy loads",
            name);
    free(full);
    return file;
}

void *mqlua_bundle_parsed(mqlua_bundle *bundle, mqlua_file *file, mqlua_file_parse parse, char **error)
{
    if (error)
        *error = NULL;
    pthread_mutex_lock(&bundle->parsing);
    if (!file->parsed)
        file->parsed = parse(file, &file->free_parsed, error);
    void *parsed = file->parsed;
    pthread_mutex_unlock(&bundle->parsing);
    return parsed;
}

mqlua_file *mqlua_bundle_files(const mqlua_bundle *bundle)
{
    return bundle->files;
}

static int compare(const mqlua_file *a, const mqlua_file *b)
{
    int order = strcmp(a->name, b->name);
    return order ? order : (int)a->kind - (int)b->kind;
}

/* Merge sort of the list: needs no memory, so sealing cannot fail. */
static mqlua_file *sort(mqlua_file *list, size_t count)
{
    if (count < 2)
        return list;
    mqlua_file *half = list;
    for (size_t i = 1; i < count / 2; i++)
        half = half->next;
    mqlua_file *right = half->next;
    half->next = NULL;
    list = sort(list, count / 2);
    right = sort(right, count - count / 2);
    mqlua_file *head = NULL, **tail = &head;
    while (list && right) {
        mqlua_file **from = compare(list, right) <= 0 ? &list : &right;
        *tail = *from;
        tail = &(*tail)->next;
        *from = (*from)->next;
    }
    *tail = list ? list : right;
    return head;
}

static void hash_number(XXH3_state_t *state, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
    XXH3_128bits_update(state, bytes, sizeof bytes);
}

static void hash_text(XXH3_state_t *state, const char *text, size_t size)
{
    hash_number(state, size);
    XXH3_128bits_update(state, text, size);
}

void mqlua_bundle_seal(mqlua_bundle *bundle)
{
    if (bundle->sealed)
        return;
    bundle->files = sort(bundle->files, bundle->count);
    XXH3_state_t state; /* on the stack: sealing cannot fail */
    XXH3_128bits_reset(&state);
    hash_text(&state, bundle->entry_name, strlen(bundle->entry_name));
    for (mqlua_file *file = bundle->files; file; file = file->next) {
        hash_text(&state, file->name, strlen(file->name));
        hash_number(&state, (uint64_t)file->kind);
        hash_text(&state, file->text, file->size);
        bundle->tail = &file->next;
    }
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    snprintf(bundle->hash, sizeof bundle->hash, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    if (bundle->folder_fd >= 0)
        close(bundle->folder_fd);
    bundle->folder_fd = -1;
    bundle->sealed = true;
}

bool mqlua_bundle_sealed(const mqlua_bundle *bundle)
{
    return bundle->sealed;
}

const char *mqlua_bundle_hash(const mqlua_bundle *bundle)
{
    return bundle->hash;
}

const char *mqlua_bundle_folder(const mqlua_bundle *bundle)
{
    return bundle->folder;
}

mqlua_file *mqlua_bundle_entry(const mqlua_bundle *bundle)
{
    return bundle->entry;
}

bool mqlua_bundle_changed(const mqlua_bundle *bundle)
{
    struct stat now;
    int folder = open(bundle->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fstat(folder, &now) < 0) {
        if (folder >= 0)
            close(folder);
        return true;
    }
    bool changed = now.st_dev != bundle->folder_st.st_dev || now.st_ino != bundle->folder_st.st_ino;
    for (mqlua_file *file = bundle->files; file && !changed; file = file->next) {
        const mqlua_bundle_file_entry *entry = (const void *)file;
        changed = fstatat(folder, file->name, &now, 0) < 0 || !mqlua_listing_same(&now, &entry->st);
    }
    for (mqlua_bundle_missing *missing = bundle->missing; missing && !changed; missing = missing->next)
        changed = missing->absent && fstatat(folder, missing->name, &now, 0) == 0;
    close(folder);
    return changed;
}

mqlua_bundle *mqlua_bundle_open(const char *entry, char **error)
{
    *error = NULL;
    char *here = entry[0] == '/' ? NULL : getcwd(NULL, 0);
    char *full = entry[0] == '/' || here ? normalize(here ? here : "/", entry) : NULL;
    free(here);
    if (!full) {
        mqlua_error_set(error, "%s: %s", entry, mqlua_error_text(errno));
        return NULL;
    }
    char *slash = strrchr(full, '/');
    size_t folder_size = slash == full ? 1 : (size_t)(slash - full);
    mqlua_bundle *bundle = mqlua_bundle_new(full, folder_size, slash + 1);
    free(full);
    if (!bundle) {
        mqlua_error_set(error, "%s: not enough memory", entry);
        return NULL;
    }
    if (!mqlua_bundle_begin(bundle, error)) {
        mqlua_error_set(error, "%s: not enough memory", entry);
        mqlua_bundle_unref(bundle);
        return NULL;
    }
    return bundle;
}

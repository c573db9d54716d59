/* SPDX-License-Identifier: MIT */
#include "policy/settings.h"
#include "base/number.h"
#include "base/error.h"
#include "base/mark.h"
#include "policy/locate.h"
#include "policy/replace.h"
#include "policy/settings_internal.h"
#include "vm/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/mailerq-lua/settings.json"

enum { FILE_MAX = 1 << 20 };

static const char *const type_names[] = {"text",          "boolean",         "number",        "number",
                                         "integer",       "integer or text", "text",          "text",
                                         "list of texts", "list of texts",   "list of texts", "object"};

#define AT(field) offsetof(mqlua_settings, field)

static const choice json_libraries[] = {{"json-c", 0}, {"fastjson", 1}, {NULL, 0}};
static const choice address_apis[] = {{"string", 0}, {"address", 1}, {NULL, 0}};
static const choice local_apis[] = {{"message", 0}, {"address", 1}, {NULL, 0}};
static const choice replies[] = {{"always", 0}, {"never", 1}, {NULL, 0}};
static const choice inboxes[] = {{"other", 0}, {"mailerq", 1}, {NULL, 0}};
static const choice allowed[] = {
    {"os.exit", MQLUA_ALLOW_OS_EXIT},   {"os.execute", MQLUA_ALLOW_OS_EXECUTE},
    {"io.popen", MQLUA_ALLOW_IO_POPEN}, {"os.setlocale", MQLUA_ALLOW_OS_SETLOCALE},
    {"debug", MQLUA_ALLOW_DEBUG},       {"jit", MQLUA_ALLOW_JIT},
    {"ffi", MQLUA_ALLOW_FFI},           {"cmodules", MQLUA_ALLOW_CMODULES},
    {"bytecode", MQLUA_ALLOW_BYTECODE}, {NULL, 0}};

static const key deadline_keys[] = {{"incoming", SECONDS, AT(deadline_in), "5", 0.1, 3600, NULL, NULL},
                                    {"outgoing", SECONDS, AT(deadline_out), "2", 0.1, 3600, NULL, NULL},
                                    {0}};

static const key files_keys[] = {{"read", FOLDERS, AT(read_folders), NULL, 0, 0, NULL, NULL},
                                 {"write", FOLDERS, AT(write_folders), NULL, 0, 0, NULL, NULL},
                                 {0}};

static const key host_keys[] = {
    {"api_version", COUNT, AT(host.api_version), NULL, 0, 2147483647, NULL, NULL},
    {"read_flag", COUNT, AT(host.read_flag), NULL, 1, 2147483647, NULL, NULL},
    {"write_flag", COUNT, AT(host.write_flag), NULL, 1, 2147483647, NULL, NULL},
    {"json_library", CHOICE, AT(host.json_library), NULL, 0, 0, json_libraries, NULL},
    {"address_api", CHOICE, AT(host.address_api), NULL, 0, 0, address_apis, NULL},
    {"local_api", CHOICE, AT(host.local_api), NULL, 0, 0, local_apis, NULL},
    {"reply_after_send", CHOICE, AT(host.reply_never), NULL, 0, 0, replies, NULL},
    {"proxies", NETWORKS, AT(host.proxies), "[]", 0, 0, NULL, NULL},
    {"inbox", CHOICE_TRUTH, AT(host.inbox_mailerq), "\"other\"", 0, 0, inboxes, NULL},
    {0}};

static const key shared_keys[] = {
    {"memory", MEMORY, AT(shared_memory), "\"256MB\"", 1 << 20, 1LL << 36, NULL, NULL}, {0}};

static const key json_keys[] = {
    {"values", COUNT, AT(limits.values), "200000", 0, 1000000000, NULL, NULL},
    {"bytes", MEMORY, AT(limits.bytes), "\"64MB\"", 1 << 20, 1LL << 36, NULL, NULL},
    {0}};

static const key mime_keys[] = {{"bytes", MEMORY, AT(mime.bytes), "\"64MB\"", 1 << 10, 1LL << 30, NULL, NULL},
                                {"parts", COUNT, AT(mime.parts), "1000", 1, 100000, NULL, NULL},
                                {"depth", COUNT, AT(mime.depth), "50", 1, 200, NULL, NULL},
                                {"headers", COUNT, AT(mime.headers), "10000", 1, 1000000, NULL, NULL},
                                {"field", MEMORY, AT(mime.field), "\"64KB\"", 1 << 10, 64 << 10, NULL, NULL},
                                {0}};

static const key reload_keys[] = {
    {"watch", TRUTH, AT(reload.watch), "true", 0, 0, NULL, NULL},
    {"quiet", SECONDS, AT(reload.quiet), "0.3", 0, 60, NULL, NULL},
    {"poll", SECONDS, AT(reload.poll), "1", 0, 3600, NULL, NULL},
    {"trial", SECONDS, AT(reload.trial), "120", 0, 86400, NULL, NULL},
    {"error_rate", NUMBER, AT(reload.error_rate), "0.1", 0, 1, NULL, NULL},
    {"min_errors", COUNT, AT(reload.min_errors), "10", 1, 1000000000, NULL, NULL},
    {0}};

static const key top_keys[] = {
    {"policy", PATH, AT(policy), "\"/etc/mailerq-lua/policy.lua\"", 0, 0, NULL, NULL},
    {"state_dir", PATH, AT(state_dir), "\"/var/lib/mailerq-lua\"", 0, 0, NULL, NULL},
    {"start_without_policy", TRUTH, AT(start_without_policy), "false", 0, 0, NULL, NULL},
    {"memory", MEMORY, AT(limits.memory), "\"64MB\"", 1 << 20, 1LL << 36, NULL, NULL},
    {"budget", SECONDS, AT(limits.budget), "0.1", 0, 60, NULL, NULL},
    {"deadline", GROUP, 0, NULL, 0, 0, NULL, deadline_keys},
    {"json", GROUP, 0, NULL, 0, 0, NULL, json_keys},
    {"mime", GROUP, 0, NULL, 0, 0, NULL, mime_keys},
    {"hold", SECONDS, AT(hold), "10", 0, 600, NULL, NULL},
    {"jit", TRUTH, AT(limits.jit), "false", 0, 0, NULL, NULL},
    {"allow", ALLOW, AT(limits.allow), "[]", 0, 0, allowed, NULL},
    {"files", GROUP, 0, NULL, 0, 0, NULL, files_keys},
    {"host", GROUP, 0, NULL, 0, 0, NULL, host_keys},
    {"shared", GROUP, 0, NULL, 0, 0, NULL, shared_keys},
    {"reload", GROUP, 0, NULL, 0, 0, NULL, reload_keys},
    {0}};

/* Defaults are read by the same code as a file, so they are always within their own limits. */
static bool set_defaults(mqlua_settings *settings, const key *keys, char **error)
{
    for (const key *k = keys; k->name; k++) {
        if (k->kind == GROUP) {
            if (!set_defaults(settings, k->keys, error))
                return false;
            continue;
        }
        if (k->kind == FOLDERS)
            continue;
        if (!k->fallback) {
            *(int *)(void *)((char *)settings + k->offset) = MQLUA_UNKNOWN;
            continue;
        }
        reader r = {.settings = settings,
                    .file = k->name,
                    .text = k->fallback,
                    .size = strlen(k->fallback),
                    .error = error};
        json_t *value = json_loads(k->fallback, JSON_DECODE_ANY, NULL);
        bool good = value && mqlua_settings_value(&r, k, value);
        json_decref(value);
        if (!good) {
            mqlua_error_set(error, "not enough memory");
            return false;
        }
    }
    return true;
}

static bool read_object(reader *r, const key *keys, json_t *object)
{
    const char *name;
    json_t *value;
    size_t ordinal = 0;
    r->depth++;
    json_object_foreach(object, name, value)
    {
        const key *k = keys;
        while (k->name && strcmp(k->name, name) != 0)
            k++;
        r->path[r->depth - 1] = ordinal++;
        if (!k->name) {
            const char *nearest = mqlua_object_nearest(name, &keys->name, sizeof *keys);
            return nearest
                       ? mqlua_settings_wrong(r, true, "unknown key '%s'; did you mean '%s'?", name, nearest)
                       : mqlua_settings_wrong(r, true, "unknown key '%s'", name);
        }
        if (k->kind != GROUP) {
            if (!mqlua_settings_value(r, k, value))
                return false;
        } else if (!json_is_object(value)) {
            return mqlua_settings_wrong(r, false, "%s must be an object", name);
        } else if (!read_object(r, k->keys, value)) {
            return false;
        }
    }
    r->depth--;
    return true;
}

/* What only makes sense together. */
static bool check_together(const mqlua_settings *s, const char *file, char **error)
{
    if (s->host.read_flag != MQLUA_UNKNOWN && s->host.read_flag == s->host.write_flag) {
        mqlua_error_set(error, "%s: host.read_flag and host.write_flag must differ", file);
        return false;
    }
    return true;
}

static mqlua_settings *parse(const char *text, size_t size, const char *file, char **error)
{
    json_error_t where;
    mqlua_settings *settings = calloc(1, sizeof *settings);
    json_t *root = NULL;
    if (!settings || !set_defaults(settings, top_keys, error))
        goto fail;
    const char *foreign = mqlua_mark_foreign(text, size);
    if (foreign) {
        mqlua_error_set(error, "%s:1:1: the file is %s: save it as UTF-8", file, foreign);
        goto fail;
    }
    size_t mark = mqlua_mark_size(text, size);
    text += mark;
    size -= mark;
    const char *nul = memchr(text, 0, size); /* jansson passes over some of them */
    if (nul) {
        mqlua_locate_offset(text, (size_t)(nul - text), &where.line, &where.column);
        mqlua_error_set(error, "%s:%d:%d: a NUL byte", file, where.line, where.column);
        goto fail;
    }
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        mqlua_error_set(error, "%s:%d:%d: %s", file, where.line, where.column, where.text);
        goto fail;
    }
    reader r = {.settings = settings, .file = file, .text = text, .size = size, .error = error};
    if (!json_is_object(root)) {
        mqlua_settings_wrong(&r, false, "settings must be an object");
        goto fail;
    }
    if (!read_object(&r, top_keys, root) || !check_together(settings, file, error))
        goto fail;
    settings->limits.files = (mqlua_files){settings->read_folders, settings->write_folders};
    settings->file = strdup(file);
    if (!settings->file)
        goto fail;
    json_decref(root);
    return settings;
fail:
    mqlua_error_set(error, "%s: not enough memory", file);
    json_decref(root);
    mqlua_settings_free(settings);
    return NULL;
}

/* jansson reads numbers with strtod. */
mqlua_settings *mqlua_settings_parse(const char *text, size_t size, const char *file, char **error)
{
    locale_t locale = uselocale(mqlua_number_locale());
    mqlua_settings *settings = parse(text, size, file, error);
    uselocale(locale);
    return settings;
}

/* The whole file in a malloc'ed buffer; NULL with errno, or with *error. */
static char *read_file(const char *path, size_t *size, char **error)
{
    FILE *file = mqlua_open_regular(path);
    char *text = malloc(FILE_MAX + 1);
    if (!file || !text) {
        int why = file ? ENOMEM : errno;
        free(text);
        if (file)
            fclose(file);
        errno = why;
        return NULL;
    }
    errno = 0;
    *size = fread(text, 1, FILE_MAX + 1, file);
    bool failed = ferror(file);
    int why = errno ? errno : EIO;
    fclose(file);
    if (failed || *size > FILE_MAX) {
        free(text);
        if (!failed)
            mqlua_error_set(error, "%s: larger than %d bytes", path, FILE_MAX);
        errno = failed ? why : EFBIG;
        return NULL;
    }
    return text;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool replace(char **to, const char *with)
{
    if (!with)
        return true;
    char *copy = strdup(with);
    if (!copy)
        return false;
    free(*to);
    *to = copy;
    return true;
}

/* The host may change its working folder later. */
static bool make_absolute(char **path)
{
    char *here = NULL, *full = NULL;
    if (!*path || **path == '/')
        return true;
    here = getcwd(NULL, 0);
    bool good = here && asprintf(&full, "%s/%s", here, *path) >= 0;
    free(here);
    if (!good)
        return false;
    free(*path);
    *path = full;
    return true;
}

/* A list of one folder: the first size bytes of path, and behind them name. */
static char **folder_list(const char *path, size_t size, const char *name)
{
    char **list = calloc(2, sizeof *list);
    if (list && asprintf(&list[0], "%.*s%s", (int)size, path, name) >= 0)
        return list;
    free(list);
    return NULL;
}

/* Where a policy finds files when the settings do not say: in its own folder, and those that it writes below
 * the state folder. */
static bool default_folders(mqlua_settings *s)
{
    size_t size = (size_t)(strrchr(s->policy, '/') - s->policy);
    if (!s->read_folders)
        s->read_folders = folder_list(s->policy, size ? size : 1, "");
    if (!s->write_folders)
        s->write_folders = folder_list(s->state_dir, strlen(s->state_dir), "/files");
    s->limits.files = (mqlua_files){s->read_folders, s->write_folders};
    return s->read_folders && s->write_folders;
}

mqlua_settings *mqlua_settings_load(char **error)
{
    const char *named = environment("MAILERQ_LUA_SETTINGS");
    const char *path = named ? named : DEFAULT_FILE;
    size_t size = 2;
    bool none = false;
    *error = NULL;
    char *text = read_file(path, &size, error);
    if (!text && !named && (errno == ENOENT || errno == ENOTDIR)) {
        none = true;
        size = 2;
        text = strdup("{}");
    }
    if (!text) {
        mqlua_error_set(error, "%s: %s", path, mqlua_error_text(errno));
        return NULL;
    }
    mqlua_settings *settings = mqlua_settings_parse(text, size, path, error);
    free(text);
    if (!settings)
        return NULL;
    if (none) {
        free(settings->file);
        settings->file = NULL;
    }
    if (!replace(&settings->policy, environment("MAILERQ_LUA_POLICY")) ||
        !replace(&settings->state_dir, environment("MAILERQ_LUA_STATE_DIR")) ||
        !make_absolute(&settings->policy) || !make_absolute(&settings->state_dir) ||
        !default_folders(settings)) {
        mqlua_settings_free(settings);
        mqlua_error_set(error, "%s: not enough memory", path);
        return NULL;
    }
    return settings;
}

void mqlua_settings_free(mqlua_settings *settings)
{
    if (!settings)
        return;
    free(settings->file);
    free(settings->policy);
    free(settings->state_dir);
    mqlua_settings_free_list(settings->read_folders);
    mqlua_settings_free_list(settings->write_folders);
    mqlua_settings_free_list(settings->host.proxies);
    free(settings);
}

static bool describe(const key *keys, const char *prefix, size_t *index, char name[64], const char **type,
                     const char **fallback)
{
    for (const key *k = keys; k->name; k++) {
        if (k->kind == GROUP) {
            if (describe(k->keys, k->name, index, name, type, fallback))
                return true;
        } else if ((*index)-- == 0) {
            snprintf(name, 64, "%s%s%s", prefix, *prefix ? "." : "", k->name);
            *type = type_names[k->kind];
            *fallback = k->fallback;
            return true;
        }
    }
    return false;
}

bool mqlua_settings_describe(size_t index, char name[64], const char **type, const char **fallback)
{
    return describe(top_keys, "", &index, name, type, fallback);
}

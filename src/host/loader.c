/* SPDX-License-Identifier: MIT */
#include "host/loader.h"
#include "base/error.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/chain.h"
#include "host/host.h"

struct paths {
    char **list;
    size_t count;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool paths_add(struct paths *paths, char *path)
{
    char **list = path ? realloc(paths->list, (paths->count + 1) * sizeof *list) : NULL;
    if (!list) {
        free(path);
        return false;
    }
    paths->list = list;
    list[paths->count++] = path;
    return true;
}

static void paths_free(struct paths *paths)
{
    for (size_t i = 0; i < paths->count; i++)
        free(paths->list[i]);
    free(paths->list);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(base_name(*(char *const *)left), base_name(*(char *const *)right));
}

static int is_plugin(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 3 && strcmp(entry->d_name + size - 3, ".so") == 0;
}

static bool collect_folder(struct paths *paths, const char *folder, char *error, size_t size)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_plugin, NULL);
    if (count < 0) {
        snprintf(error, size, "plugin folder %s: %s", folder, mqlua_error_text(errno));
        return false;
    }
    bool ok = true;
    for (int i = 0; i < count; i++) {
        char *path = NULL;
        ok = asprintf(&path, "%s/%s", folder, entries[i]->d_name) >= 0 && paths_add(paths, path) && ok;
        free(entries[i]);
    }
    free(entries);
    if (!ok)
        snprintf(error, size, "plugin folder %s: no memory", folder);
    return ok;
}

static bool collect(struct paths *paths, const char *path, char *error, size_t size)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        snprintf(error, size, "plugin %s: %s", path, mqlua_error_text(errno));
        return false;
    }
    if (S_ISDIR(status.st_mode))
        return collect_folder(paths, path, error, size);
    /* without a slash dlopen would search the system's folders */
    char *full = realpath(path, NULL);
    if (!paths_add(paths, full)) {
        snprintf(error, size, "plugin %s: no memory", path);
        return false;
    }
    return true;
}

static void find_functions(struct host *host, struct host_plugin *plugin)
{
    *(void **)&plugin->version = dlsym(plugin->handle, "mq_version");
    *(void **)&plugin->initialize = dlsym(plugin->handle, "mq_initialize");
    *(void **)&plugin->cleanup = dlsym(plugin->handle, "mq_cleanup");
    *(void **)&plugin->context_initialize = dlsym(plugin->handle, "mq_context_initialize");
    *(void **)&plugin->context_cleanup = dlsym(plugin->handle, "mq_context_cleanup");
    for (enum host_event event = HOST_EVENT_NONE + 1; event < HOST_EVENT_COUNT; event++) {
        if (host->knobs.api == HOST_API_30 && event == HOST_EVENT_OUT_SENT)
            continue;
        plugin->events[event] = dlsym(plugin->handle, host_chain_event_name(event));
        if (plugin->events[event])
            host->wanted[event] = true;
    }
}

static bool load_one(struct host *host, const char *path, char *error, size_t size)
{
    struct host_plugin *plugin = &host->plugins[host->plugin_count];
    plugin->path = strdup(path);
    plugin->handle = plugin->path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!plugin->handle) {
        snprintf(error, size, "plugin cannot be loaded: %s", plugin->path ? dlerror() : "no memory");
        free(plugin->path);
        return false;
    }
    host->plugin_count++;
    find_functions(host, plugin);
    if (!plugin->version) {
        snprintf(error, size, "plugin %s has no mq_version", path);
        return false;
    }
    int version = plugin->version();
    if (version < 0) {
        snprintf(error, size,
                 "plugin %s refused to start (its mq_version returned %d): its own log lines, above, say why",
                 path, version);
        return false;
    }
    if (version != host->knobs.api_version) {
        snprintf(error, size, "plugin %s is for version 0x%x of the plugin API, this is 0x%x", path,
                 (unsigned int)version, (unsigned int)host->knobs.api_version);
        return false;
    }
    return true;
}

bool host_loader_load(struct host *host, bool initialize, char *error, size_t size)
{
    const struct host_options *options = host->options;
    struct paths paths = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < options->plugin_count; i++)
        ok = collect(&paths, options->plugins[i], error, size);
    if (paths.count)
        qsort(paths.list, paths.count, sizeof *paths.list, by_name);
    host->plugins = calloc(paths.count + 1, sizeof *host->plugins);
    if (ok && !host->plugins) {
        snprintf(error, size, "no memory for plugins");
        ok = false;
    }
    for (size_t i = 0; ok && i < paths.count; i++) {
        ok = load_one(host, paths.list[i], error, size);
        if (ok && initialize && host->plugins[i].initialize)
            host->plugins[i].initialize();
    }
    paths_free(&paths);
    return ok;
}

void host_loader_initialize(struct host *host)
{
    for (int i = 0; i < host->plugin_count; i++)
        if (host->plugins[i].initialize)
            host->plugins[i].initialize();
}

void host_loader_cleanup(struct host *host)
{
    for (int i = 0; i < host->plugin_count; i++)
        if (host->plugins[i].cleanup)
            host->plugins[i].cleanup();
}

void host_loader_free(struct host *host)
{
    for (int i = 0; i < host->plugin_count; i++)
        free(host->plugins[i].path);
    free(host->plugins);
    host->plugins = NULL;
    host->plugin_count = 0;
}

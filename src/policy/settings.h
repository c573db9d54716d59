/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Settings: facts about this installation, from one JSON file that a policy cannot change. Read once at
 * load by one thread, read-only afterwards.
 */

#include "vm/vm.h"

typedef enum mqlua_knows { MQLUA_UNKNOWN = -1 } mqlua_knows;

typedef struct mqlua_settings {
    char *file;   /* where the settings came from; NULL: none */
    char *policy; /* entry file */
    char *state_dir;
    bool start_without_policy;
    mqlua_vm_limits limits; /* memory, run-time budget, json.*, jit, allow, folders */
    char **read_folders;    /* files.read: absolute, NULL-terminated; NULL before the defaults are known */
    char **write_folders;
    double deadline_in; /* seconds from the entry of an incoming event */
    double deadline_out;
    struct {          /* what a message that is taken apart may have */
        size_t bytes; /* of a message */
        int parts;    /* in all */
        int depth;    /* of parts in parts */
        int headers;  /* fields of all parts together */
        size_t field; /* bytes of a field that is interpreted */
    } mime;
    size_t shared_memory; /* bytes that all shared dictionaries may have together */
    double hold;          /* seconds that a rejected connection is kept */
    struct {
        int api_version; /* -1: as built */
        int read_flag;   /* -1: as built */
        int write_flag;
        int json_library;   /* -1: as built; 0 json-c, 1 libfastjson */
        int address_api;    /* -1: unknown; 0 string, 1 address */
        int local_api;      /* -1: unknown; 0 message, 1 address */
        int reply_never;    /* reply_after_send: -1 not said, as 0 "always"; 1 "never" */
        bool inbox_mailerq; /* inbox == "mailerq" */
        char **proxies;     /* CIDR texts, NULL-terminated */
    } host;
    struct {
        bool watch;        /* reload on change, default true */
        double quiet;      /* seconds without change before a reload */
        double poll;       /* seconds between polls where inotify sees nothing; 0: never */
        double trial;      /* seconds that a new generation is watched for errors */
        double error_rate; /* share of failing tasks above which it is rolled back ... */
        int min_errors;    /* ... once at least so many failed */
    } reload;
} mqlua_settings;

/* Reads $MAILERQ_LUA_SETTINGS, else /etc/mailerq-lua/settings.json (which may be missing). NULL when the file
 * is wrong: *error is then a malloc'ed message with file, line and column, which the caller frees. The policy
 * and state folder of the environment ($MAILERQ_LUA_POLICY, $MAILERQ_LUA_STATE_DIR) are filled in. */
mqlua_settings *mqlua_settings_load(char **error);
void mqlua_settings_free(mqlua_settings *settings);

/* The same from text (size bytes of JSON), without looking at files or environment; file is the name used in
 * messages. Owned by the caller; NULL with *error as above. */
mqlua_settings *mqlua_settings_parse(const char *text, size_t size, const char *file, char **error);

/* The keys that exist, for documentation and its test: false when index is behind the last one. name is
 * dotted
 * ("host.read_flag"), type as docs/SETTINGS.md names it, fallback the default as JSON text, or NULL for "not
 * set". */
bool mqlua_settings_describe(size_t index, char name[64], const char **type, const char **fallback);

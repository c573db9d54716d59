/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The JSON library behind MQ_json: libfastjson (MailerQ 5), or json-c (MailerQ 4) when compiled with
 * HOST_JSON_C. The two have the same functions under different prefixes; host_json and HOST_JSON()
 * hide the prefix, and the inline functions below the few places where they differ.
 *
 * Both libraries represent JSON null as a NULL pointer, count references without locks, and print
 * strings byte by byte; libfastjson only up to the first NUL, so lines are printed by json_print.h.
 * An object belongs to the thread of its worker; nothing here raises, everything may run out of memory.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef HOST_JSON_C
#include <json-c/json.h>
typedef struct json_object host_json;
#define HOST_JSON(name)          json_object_##name
#define HOST_JSON_IS(json, type) json_object_is_type((json), json_type_##type)
#else
#include <libfastjson/json.h>
#include <libfastjson/json_object_iterator.h>
typedef struct fjson_object host_json;
#define HOST_JSON(name)          fjson_object_##name
#define HOST_JSON_IS(json, type) fjson_object_is_type((json), fjson_type_##type)
#endif

/* A new string of size bytes (NUL bytes allowed); NULL without memory or beyond 2 GB. */
static inline host_json *host_json_string(const char *text, size_t size)
{
    return size > INT32_MAX ? NULL : HOST_JSON(new_string_len)(text, (int)size);
}

/* The member name of an object, borrowed; NULL when json is no object, or without that member, or null. */
static inline host_json *host_json_get(host_json *json, const char *name)
{
    host_json *value = NULL;
    if (!json || !HOST_JSON_IS(json, object))
        return NULL;
    return HOST_JSON(object_get_ex)(json, name, &value) ? value : NULL;
}

/* True when the object has that member, null included. */
static inline bool host_json_has(host_json *json, const char *name)
{
    host_json *value = NULL;
    return json && HOST_JSON_IS(json, object) && HOST_JSON(object_get_ex)(json, name, &value);
}

/* Stores value (stolen) under name (copied), replacing what was there. False, with value released,
 * when value is NULL or there is no memory: a NULL value always means that making it failed. */
static inline bool host_json_set(host_json *json, const char *name, host_json *value)
{
    if (!value)
        return false;
#ifdef HOST_JSON_C
    if (json_object_object_add(json, name, value) == 0)
        return true;
    json_object_put(value);
    return false;
#else
    fjson_object_object_add(json, name, value); /* tells nothing about failure */
    return true;
#endif
}

/* As host_json_set, for a name that the object does not have: no member is looked at. */
static inline bool host_json_set_new(host_json *json, const char *name, host_json *value)
{
#ifdef HOST_JSON_C
    return host_json_set(json, name, value); /* a hash table */
#else
    if (value)
        fjson_object_object_add_ex(json, name, value, FJSON_OBJECT_ADD_KEY_IS_NEW);
    return value != NULL;
#endif
}

/* Stores a NUL-terminated string; a NULL text stores nothing and succeeds. */
static inline bool host_json_set_text(host_json *json, const char *name, const char *text)
{
    return !text || host_json_set(json, name, host_json_string(text, strlen(text)));
}

/* Stores an integer. */
static inline bool host_json_set_int(host_json *json, const char *name, int64_t value)
{
    return host_json_set(json, name, HOST_JSON(new_int64)(value));
}

/* Stores a boolean. */
static inline bool host_json_set_bool(host_json *json, const char *name, bool value)
{
    return host_json_set(json, name, HOST_JSON(new_boolean)(value));
}

/* Stores JSON null, which both libraries show as a member without a value. */
static inline void host_json_set_null(host_json *json, const char *name)
{
    HOST_JSON(object_add)(json, name, NULL);
}

/* The text of a string member, borrowed, with its length in *size (may be NULL); NULL when it is no string.
 */
static inline const char *host_json_text(host_json *json, const char *name, size_t *size)
{
    host_json *value = host_json_get(json, name);
    if (!value || !HOST_JSON_IS(value, string))
        return NULL;
    if (size)
        *size = (size_t)HOST_JSON(get_string_len)(value);
    return HOST_JSON(get_string)(value);
}

/* Parses exactly one JSON value with nothing but white space after it. A new reference in *json (NULL
 * for the value null). False when it is malformed or there is no memory; *error is then static text. */
static inline bool host_json_parse(const char *text, size_t size, host_json **json, const char **error)
{
    *json = NULL;
    *error = "no memory";
    if (size > INT32_MAX)
        return false;
#ifdef HOST_JSON_C
    struct json_tokener *tokener = json_tokener_new_ex(512);
    if (!tokener)
        return false;
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    host_json *value = json_tokener_parse_ex(tokener, text, (int)size);
    enum json_tokener_error status = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    *error = status == json_tokener_success ? NULL : json_tokener_error_desc(status);
    json_tokener_free(tokener);
#else
    struct fjson_tokener *tokener = fjson_tokener_new_ex(512);
    if (!tokener)
        return false;
    host_json *value = fjson_tokener_parse_ex(tokener, text, (int)size);
    enum fjson_tokener_error status = fjson_tokener_get_error(tokener);
    size_t end = (size_t)tokener->char_offset;
    *error = status == fjson_tokener_success ? NULL : fjson_tokener_error_desc(status);
    fjson_tokener_free(tokener);
#endif
    while (end < size && strchr(" \t\r\n", text[end]) && text[end])
        end++;
    if (!*error && end < size)
        *error = "something follows the JSON value";
    if (*error) {
        HOST_JSON(put)(value);
        return false;
    }
    *json = value;
    return true;
}

/* SPDX-License-Identifier: MIT */

#include "host/results.h"

#include "host/message_json.h"

static bool add_cipher(host_json *entry, SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    host_json *object = HOST_JSON(new_object)();
    int algorithm_bits = 0;
    int bits = cipher ? SSL_CIPHER_get_bits(cipher, &algorithm_bits) : 0;
    return host_json_set(entry, "cipher", object) &&
           host_json_set_text(object, "name", cipher ? SSL_CIPHER_get_name(cipher) : NULL) &&
           host_json_set_int(object, "bits", bits) && host_json_set_int(object, "algbits", algorithm_bits) &&
           host_json_set_text(object, "version", SSL_get_version(ssl)) &&
           host_json_set_int(object, "id", cipher ? (int64_t)SSL_CIPHER_get_id(cipher) : 0);
}

static bool add_sent(host_json *entry, const struct host_result *result)
{
    host_json *object = HOST_JSON(new_object)();
    return host_json_set(entry, "sent", object) &&
           host_json_set_int(object, "connection", (int64_t)result->sent_connection) &&
           host_json_set_int(object, "data", (int64_t)result->sent_data);
}

/* A new reference; NULL without memory. */
static host_json *make_entry(const struct host_result *result)
{
    char now[HOST_MESSAGE_TIME_SIZE];
    host_message_json_time(time(NULL), now);
    host_json *entry = HOST_JSON(new_object)();
    bool ok = entry && host_json_set_text(entry, "state", result->state) &&
              host_json_set_text(entry, "result", result->result) && host_json_set_text(entry, "time", now) &&
              host_json_set_text(entry, "mta", result->mta) &&
              host_json_set_text(entry, "from", result->from) &&
              host_json_set_text(entry, "to", result->to) &&
              host_json_set_text(entry, "authentication", result->authentication) &&
              (!result->ssl || add_cipher(entry, result->ssl));
    if (ok && result->messages >= 0)
        ok = host_json_set_int(entry, "messages", result->messages) && add_sent(entry, result);
    if (ok && result->code)
        ok = host_json_set_int(entry, "code", result->code);
    if (ok && result->status && *result->status)
        ok = host_json_set_text(entry, "status", result->status);
    ok = ok && host_json_set_text(entry, "description", result->description);
    if (ok && strcmp(result->result, "accepted") == 0)
        ok = host_json_set_bool(entry, "dsn", result->dsn);
    if (ok)
        return entry;
    HOST_JSON(put)(entry);
    return NULL;
}

/* keepmime is a boolean, in old versions the number 1 */
static bool keeps_mime(host_json *json)
{
    host_json *keep = host_json_get(json, "keepmime");
    return keep && HOST_JSON(get_boolean)(keep);
}

bool host_results_add(host_json *json, const struct host_result *result)
{
    host_json *results = host_json_get(json, "results");
    if (!results || !HOST_JSON_IS(results, array)) {
        results = HOST_JSON(new_array)();
        if (!host_json_set(json, "results", results))
            return false;
    }
    host_json *entry = make_entry(result);
    if (!entry || HOST_JSON(array_add)(results, entry) != 0)
        return false;
    if (!keeps_mime(json))
        HOST_JSON(object_del)(json, "mime");
    return true;
}

host_json *host_results_malformed(unsigned long number, const char *error)
{
    host_json *json = HOST_JSON(new_object)();
    struct host_result result = {
        .state = "process", .result = "invalid", .messages = -1, .description = error};
    if (json && host_json_set_int(json, "line", (int64_t)number) &&
        host_json_set_text(json, "error", error) && host_results_add(json, &result))
        return json;
    HOST_JSON(put)(json);
    return NULL;
}

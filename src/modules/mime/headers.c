/* SPDX-License-Identifier: MIT */

#include "modules/mime/internal.h"

/* ---- parameters ---- */

static bool add_lower(mqlua_texts *out, const char *text)
{
    char *lower = g_ascii_strdown(text, -1);
    bool good = mqlua_texts_add(out, lower);
    g_free(lower);
    return good;
}

static bool add_parameters(GMimeParamList *list, mqlua_texts *out)
{
    int count = list ? g_mime_param_list_length(list) : 0;
    for (int i = 0; i < count; i++) {
        GMimeParam *param = g_mime_param_list_get_parameter_at(list, i);
        if (!add_lower(out, g_mime_param_get_name(param)) ||
            !mqlua_texts_add(out, g_mime_param_get_value(param)))
            return false;
    }
    return true;
}

/* GMime says application/octet-stream of a value that names no type. */
static bool names_type(const char *value)
{
    const char *slash = strchr(value, '/'), *semicolon = strchr(value, ';');
    return slash && (!semicolon || slash < semicolon);
}

static bool read_type(const char *value, mqlua_texts *out)
{
    if (!names_type(value))
        return mqlua_texts_add(out, "");
    GMimeContentType *type = g_mime_content_type_parse(module_options(), value);
    char *text = g_mime_content_type_get_mime_type(type);
    bool good = add_lower(out, text) && add_parameters(g_mime_content_type_get_parameters(type), out);
    g_free(text);
    g_object_unref(type);
    return good;
}

static bool read_disposition(const char *value, mqlua_texts *out)
{
    GMimeContentDisposition *disposition = g_mime_content_disposition_parse(module_options(), value);
    const char *text = g_mime_content_disposition_get_disposition(disposition);
    bool good = add_lower(out, text ? text : "") &&
                add_parameters(g_mime_content_disposition_get_parameters(disposition), out);
    g_object_unref(disposition);
    return good;
}

bool module_parameters(const char *value, bool disposition, mqlua_texts *out)
{
    module_enter();
    bool good = disposition ? read_disposition(value, out) : read_type(value, out);
    module_leave(strlen(value));
    return good;
}

/* ---- writing ---- */

static char *copy(char *text)
{
    char *result = text ? strdup(text) : NULL;
    g_free(text);
    return result;
}

char *module_with_parameter(const char *value, bool disposition, const char *name, const char *text)
{
    module_enter();
    GMimeFormatOptions *format = g_mime_format_options_new();
    g_mime_format_options_set_newline_format(format, GMIME_NEWLINE_FORMAT_DOS);
    char *made;
    if (disposition) {
        GMimeContentDisposition *one = g_mime_content_disposition_parse(module_options(), value);
        if (name)
            g_mime_content_disposition_set_parameter(one, name, text);
        made = g_mime_content_disposition_encode(one, format);
        g_object_unref(one);
    } else {
        GMimeContentType *one = g_mime_content_type_parse(module_options(), value);
        if (name)
            g_mime_content_type_set_parameter(one, name, text);
        made = g_mime_content_type_encode(one, format);
        g_object_unref(one);
    }
    g_mime_format_options_free(format);
    char *result = copy(made);
    module_leave(strlen(value));
    return result;
}

/* ---- texts and addresses ---- */

char *module_words(const char *value)
{
    module_enter();
    char *result = copy(g_mime_utils_header_decode_text(module_options(), value));
    module_leave(strlen(value));
    return result;
}

static bool add_addresses(InternetAddressList *list, mqlua_texts *out)
{
    int count = internet_address_list_length(list);
    for (int i = 0; i < count; i++) {
        InternetAddress *one = internet_address_list_get_address(list, i);
        const char *name = internet_address_get_name(one);
        if (INTERNET_ADDRESS_IS_GROUP(one)) {
            InternetAddressList *members = internet_address_group_get_members(INTERNET_ADDRESS_GROUP(one));
            if (members && !add_addresses(members, out))
                return false;
        } else if (!mqlua_texts_add(out, name) ||
                   !mqlua_texts_add(out, internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(one)))) {
            return false;
        }
    }
    return true;
}

bool module_addresses(const char *value, mqlua_texts *out)
{
    module_enter();
    InternetAddressList *list = internet_address_list_parse(module_options(), value);
    bool good = !list || add_addresses(list, out);
    if (list)
        g_object_unref(list);
    module_leave(strlen(value));
    return good;
}

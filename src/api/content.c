/* SPDX-License-Identifier: MIT */

#include "api/content.h"
#include "api/compose.h"
#include "vm/bytes.h"

#include <string.h>

/* On incoming mail the JSON has the length; on outgoing mail a plugin's MIME is what will be sent. */
const char *mqlua_content_get(const mqlua_message *m, size_t *size)
{
    const char *mime = mqlua_event_outgoing(m->event) ? m->env->symbols->mime(m->host) : NULL;
    if (!mime && mqlua_message_text(m, "mime", &mime, size))
        return mime;
    if (!mime)
        mime = m->env->symbols->mime(m->host);
    *size = mime ? strlen(mime) : 0;
    return mime;
}

void mqlua_content_push(lua_State *L, void *ud)
{
    mqlua_message *m = ud;
    size_t size;
    const char *mime = mqlua_content_get(m, &size);
    if (mime)
        mqlua_bytes_push(L, mime, size, &m->mime_slot);
    else
        lua_pushnil(L);
}

/* The host has these bytes already: to assign them changes nothing, whatever is in them. */
static bool is_there(const mqlua_message *m, const char *bytes, size_t size)
{
    size_t there;
    const char *mime = mqlua_content_get(m, &there);
    return mime && there == size && (mime == bytes || memcmp(mime, bytes, size) == 0);
}

void mqlua_content_apply(lua_State *L, void *ud, int index)
{
    mqlua_message *m = ud;
    const char *mime;
    size_t size;
    if (!mqlua_bytes_to(L, index, &mime, &size) || is_there(m, mime, size))
        return;
    m->env->symbols->set_mime(m->host, mime, size);
    m->mime_slot.serial++;
}

static bool has_edits(const mqlua_message *m)
{
    const mqlua_tree *tree = m->env->tree;
    void *root = m->env->symbols->json(m->host), *headers;
    return root && tree->object_get(tree, root, "headers", &headers) &&
           tree->type(tree, headers) != MQLUA_TREE_NULL;
}

void mqlua_content_check(lua_State *L, const mqlua_message *m, int index)
{
    const char *bytes;
    size_t size;
    if (mqlua_bytes_to(L, index, &bytes, &size)) {
        mqlua_vm_charge(L, size / 16);
        if (is_there(m, bytes, size))
            return;
    }
    /* MailerQ may apply json.headers to its own content only, before or after this event. */
    if (m->event == MQLUA_OUT_DATA && has_edits(m))
        luaL_error(L, "mime cannot be changed in smtp_out_data when the message has header edits "
                      "(json.headers), which could be lost: change it in smtp_in_message");
    const char *mime = mqlua_content_get(m, &size);
    mqlua_compose_check(L, index, mime && !mqlua_compose_has_fields(mime, size));
}

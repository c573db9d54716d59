/* SPDX-License-Identifier: MIT */

#include "api/message_host.h"

bool mqlua_message_text(const mqlua_message *m, const char *key, const char **text, size_t *size)
{
    const mqlua_tree *tree = m->env->tree;
    void *root = tree ? m->env->symbols->json(m->host) : NULL, *node;
    if (!root || !tree->object_get(tree, root, key, &node) || tree->type(tree, node) != MQLUA_TREE_STRING)
        return false;
    *text = tree->string(tree, node, size);
    return true;
}

/* SPDX-License-Identifier: MIT */

#include "api/check.h"
#include "base/error.h"
#include <stdlib.h>

/* A snapshot whose files changed while it was checked is taken again, this often. */
enum { CHECK_ATTEMPTS = 5 };

/* What a check says: notes to whoever asked for it, and what is wrong as one text. */
typedef struct check {
    void (*note)(void *ud, mqlua_lint_kind kind, const char *text);
    void *ud;
    char *wrong; /* malloc'ed lines; NULL: nothing */
    bool memory; /* was enough */
} check;

static void found(void *ud, mqlua_lint_kind kind, const char *text)
{
    check *c = ud;
    if (kind != MQLUA_LINT_WRONG) {
        if (c->note)
            c->note(c->ud, kind, text);
        return;
    }
    char *wrong = NULL;
    if (asprintf(&wrong, "%s%s%s", c->wrong ? c->wrong : "", c->wrong ? "\n" : "", text) < 0)
        c->memory = false;
    else
        free(c->wrong), c->wrong = wrong;
}

/* The policy loads, but goes on without what a data file should hold. */
static void judge_data(const mqlua_state *state, check *c)
{
    char *text;
    if (!state->env.data_wrong)
        return;
    if (asprintf(&text, "%s: the policy goes on without it", state->env.data_wrong) < 0) {
        c->memory = false;
        return;
    }
    found(c, MQLUA_LINT_MISTAKE, text);
    free(text);
}

/* Frees a loaded state in which a handler returns what it cannot return. */
static mqlua_state *judge(mqlua_state *state, check *c, char **error)
{
    c->memory = true;
    c->wrong = NULL;
    judge_data(state, c);
    if (mqlua_lint(state, found, c) && c->memory && !c->wrong)
        return state;
    *error = c->wrong;
    if (!*error)
        mqlua_error_set(error, "not enough memory");
    mqlua_state_free(state);
    return NULL;
}

/* False: it does not load. *changed: the files did meanwhile, whichever it was. */
static bool check_once(const mqlua_env *proto, mqlua_bundle *bundle, check *c, bool *changed, char **error)
{
    mqlua_state *state = mqlua_state_new(proto, bundle, 0, NULL, MQLUA_CHECKING, error);
    *changed = mqlua_bundle_changed(bundle);
    if (state)
        state = judge(state, c, error);
    mqlua_state_free(state);
    return state != NULL;
}

static mqlua_bundle *finish(mqlua_bundle *bundle, bool good, mqlua_bundle **seen)
{
    if (good)
        mqlua_bundle_seal(bundle);
    if (seen)
        *seen = bundle && good ? mqlua_bundle_ref(bundle) : bundle;
    else if (!good)
        mqlua_bundle_unref(bundle);
    return good ? bundle : NULL;
}

mqlua_bundle *mqlua_check_policy(const mqlua_env *proto, const char *entry,
                                 void (*note)(void *ud, mqlua_lint_kind kind, const char *text), void *ud,
                                 mqlua_bundle **seen, char **error)
{
    check c = {.note = note, .ud = ud};
    mqlua_bundle *bundle = NULL;
    for (int i = 0; i < CHECK_ATTEMPTS; i++) {
        bool changed, good;
        mqlua_bundle_unref(bundle);
        free(*error);
        *error = NULL;
        bundle = mqlua_bundle_open(entry, error);
        if (!bundle)
            return finish(NULL, false, seen);
        good = check_once(proto, bundle, &c, &changed, error);
        if (!changed)
            return finish(bundle, good, seen);
    }
    free(*error);
    *error = NULL;
    mqlua_error_set(error, "%s: the policy's files keep changing while they are read", entry);
    return finish(bundle, false, seen);
}

/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "host/base64.h"
#include "host/host.h"
#include "host/session_state.h"
#include "host/stream.h"
#include "host/worker.h"

enum { FAILURES_MOST = 10 };

bool host_session_auth_offered(const struct host_session *session)
{
    const struct host *host = session->worker->host;
    return host_chain_wanted(host, HOST_EVENT_AUTHENTICATE) ||
           (host->knobs.own_auth != HOST_OWN_AUTH_NONE && host->options->auth_user);
}

bool host_session_auth_required(const struct host_session *session)
{
    const struct host *host = session->worker->host;
    return host->knobs.auth_by_symbol && host_chain_wanted(host, HOST_EVENT_AUTHENTICATE);
}

static void wipe(char **text, size_t *size)
{
    if (*text)
        explicit_bzero(*text, *size);
    free(*text);
    *text = NULL;
    *size = 0;
}

void host_session_auth_free(struct host_session *session)
{
    wipe(&session->auth.login, &session->auth.login_size);
    wipe(&session->auth.password, &session->auth.password_size);
}

/* A copy with a NUL byte behind it that does not count; false without memory. */
static bool keep(char **target, size_t *target_size, const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    if (!copy)
        return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    *target = copy;
    *target_size = size;
    return true;
}

static bool equals(const char *text, size_t size, const char *expected)
{
    return expected && strlen(expected) == size && memcmp(text, expected, size) == 0;
}

/* The host's own account, --auth. */
static bool own_check(const struct host_session *session)
{
    const struct host_options *options = session->worker->host->options;
    const struct host_auth *auth = &session->auth;
    return equals(auth->login, auth->login_size, options->auth_user) &&
           equals(auth->password, auth->password_size, options->auth_password);
}

void host_session_auth_failed(struct host_session *session, const char *reply)
{
    session->phase = HOST_PHASE_COMMAND;
    host_session_auth_free(session);
    host_session_reply(session, "%s", reply);
    if (++session->auth.failures < FAILURES_MOST)
        return;
    host_session_reply(session, "421 4.7.0 Too many failed logins");
    host_session_end(session);
}

static void accept_login(struct host_session *session)
{
    free(session->user);
    session->user = strndup(session->auth.login, session->auth.login_size);
    host_session_auth_free(session);
    if (host_session_answer(session) == HOST_ANSWER_REPLY)
        host_session_reply(session, "235 2.7.0 Authentication successful");
}

static void on_auth_done(MQ_Connection *connection, void *data)
{
    struct host_session *session = data;
    if (!connection->authenticated && session->worker->host->knobs.own_auth == HOST_OWN_AUTH_AFTER)
        connection->authenticated = own_check(session);
    enum host_answer answer = host_session_answer(session);
    if (answer == HOST_ANSWER_CLOSE)
        host_session_end(session);
    else if (connection->authenticated)
        accept_login(session);
    else if (answer == HOST_ANSWER_REPLY)
        host_session_auth_failed(session, "535 5.7.8 Authentication failed");
    else
        host_session_auth_free(session);
}

/* Login and password are here. */
static void judge(struct host_session *session)
{
    const struct host_knobs *knobs = &session->worker->host->knobs;
    struct host_auth *auth = &session->auth;
    struct host_arguments arguments = {
        .login = auth->login,
        .login_size = auth->login_size,
        .password = knobs->password_null ? NULL : auth->password,
        .password_size = knobs->password_null ? 0 : auth->password_size,
    };
    session->phase = HOST_PHASE_COMMAND;
    session->connection->authenticated = knobs->own_auth == HOST_OWN_AUTH_BEFORE && own_check(session);
    host_session_offer(session, HOST_EVENT_AUTHENTICATE, &arguments, on_auth_done);
}

/* "authorisation NUL login NUL password" */
static bool split_plain(struct host_auth *auth, const char *text, size_t size)
{
    const char *end = text + size;
    const char *login = memchr(text, '\0', size);
    if (!login)
        return false;
    login++;
    const char *password = memchr(login, '\0', (size_t)(end - login));
    if (!password || password == login)
        return false;
    password++;
    if (memchr(password, '\0', (size_t)(end - password)))
        return false;
    return keep(&auth->login, &auth->login_size, login, (size_t)(password - login - 1)) &&
           keep(&auth->password, &auth->password_size, password, (size_t)(end - password));
}

static void take_answer(struct host_session *session, const char *text, size_t size)
{
    struct host_auth *auth = &session->auth;
    bool ok;
    switch (auth->step) {
    case HOST_AUTH_PLAIN:
        ok = split_plain(auth, text, size);
        break;
    case HOST_AUTH_LOGIN_USER:
        ok = size > 0 && keep(&auth->login, &auth->login_size, text, size);
        break;
    default:
        ok = keep(&auth->password, &auth->password_size, text, size);
    }
    if (!ok) {
        host_session_auth_failed(session, "501 5.5.2 Malformed authentication");
    } else if (auth->step == HOST_AUTH_LOGIN_USER) {
        auth->step = HOST_AUTH_LOGIN_PASSWORD;
        host_session_reply(session, "334 UGFzc3dvcmQ6");
    } else {
        judge(session);
    }
}

void host_session_auth_line(struct host_session *session, const char *line, size_t size)
{
    char *text = malloc(size + 1);
    if (size == 1 && line[0] == '*') {
        host_session_auth_failed(session, "501 5.7.0 Authentication cancelled");
    } else if (!text) {
        host_session_auth_failed(session, "454 4.7.0 No memory");
    } else {
        ssize_t decoded = host_base64_decode(line, size, text, size);
        if (decoded < 0)
            host_session_auth_failed(session, "501 5.5.2 Malformed base64");
        else
            take_answer(session, text, (size_t)decoded);
        explicit_bzero(text, size);
    }
    free(text);
}

void host_session_auth_command(struct host_session *session, const struct host_smtp_command *command)
{
    const char *argument = command->argument;
    size_t size = command->argument_size;
    const char *space = memchr(argument, ' ', size);
    size_t word = space ? (size_t)(space - argument) : size;
    bool plain = word == 5 && mqlua_ascii_same(argument, "PLAIN", 5);
    bool login = word == 5 && mqlua_ascii_same(argument, "LOGIN", 5);
    if (!host_session_auth_offered(session)) {
        host_session_reply(session, "502 5.5.1 AUTH is not offered");
        return;
    }
    if (session->user && session->connection->authenticated) {
        host_session_reply(session, "503 5.5.1 Already authenticated");
        return;
    }
    if (!plain && !login) {
        host_session_reply(session, "504 5.5.4 Unknown mechanism, there are PLAIN and LOGIN");
        return;
    }
    host_session_auth_free(session);
    session->auth.step = plain ? HOST_AUTH_PLAIN : HOST_AUTH_LOGIN_USER;
    session->phase = HOST_PHASE_AUTH;
    while (space && space < argument + size && *space == ' ')
        space++;
    if (!space || space == argument + size)
        host_session_reply(session, plain ? "334 " : "334 VXNlcm5hbWU6");
    else if (argument + size - space == 1 && *space == '=')
        take_answer(session, "", 0);
    else
        host_session_auth_line(session, space, (size_t)(argument + size - space));
}

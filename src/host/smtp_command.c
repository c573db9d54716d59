/* SPDX-License-Identifier: MIT */

#include "host/smtp_command.h"
#include "base/ascii.h"
#include "base/utf8.h"

#include <string.h>

struct word {
    const char *data;
    size_t size;
};

static const struct {
    const char *name;
    enum host_smtp_verb verb;
} verbs[] = {
    {"EHLO", HOST_SMTP_EHLO}, {"HELO", HOST_SMTP_HELO}, {"MAIL", HOST_SMTP_MAIL},
    {"RCPT", HOST_SMTP_RCPT}, {"DATA", HOST_SMTP_DATA}, {"RSET", HOST_SMTP_RSET},
    {"NOOP", HOST_SMTP_NOOP}, {"QUIT", HOST_SMTP_QUIT}, {"VRFY", HOST_SMTP_VRFY},
    {"EXPN", HOST_SMTP_EXPN}, {"HELP", HOST_SMTP_HELP}, {"STARTTLS", HOST_SMTP_STARTTLS},
    {"AUTH", HOST_SMTP_AUTH}, {"BDAT", HOST_SMTP_BDAT},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* atext of RFC 5322, and all of UTF-8 beyond ASCII (RFC 6532) */
static bool is_atext(char c)
{
    return is_alnum(c) || (c & 0x80) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool same(struct word word, const char *text)
{
    return word.size == strlen(text) && mqlua_ascii_same(word.data, text, word.size);
}

static bool clean(const char *line, size_t size)
{
    for (size_t at = 0, length; at < size; at += length) {
        unsigned char c = (unsigned char)line[at];
        length = mqlua_utf8_read(line + at, size - at, NULL);
        if (length == 0 || (c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Length of a domain: labels with dots between, or an address literal in brackets. 0 when there is none. */
static size_t domain_length(const char *text, size_t size)
{
    size_t at = 0;
    if (size && text[0] == '[') {
        const char *end = memchr(text, ']', size);
        for (const char *c = text + 1; end && c < end; c++)
            if (!is_alnum(*c) && !strchr(".:-", *c))
                return 0;
        return end && end > text + 1 ? (size_t)(end - text) + 1 : 0;
    }
    for (size_t label = 0; at < size; at++) {
        char c = text[at];
        bool letter = is_alnum(c) || (c & 0x80) || c == '_'; /* underscores exist in the wild */
        if (letter || (c == '-' && label)) {
            label++;
        } else if (c == '.' && label && at + 1 < size && text[at - 1] != '-') {
            label = 0;
        } else {
            break;
        }
    }
    return at && text[at - 1] != '.' && text[at - 1] != '-' ? at : 0;
}

/* Length of a local part, dot-string or quoted string. 0 when there is none. */
static size_t localpart_length(const char *text, size_t size)
{
    size_t at = 0;
    if (size && text[0] == '"') {
        for (at = 1; at < size && text[at] != '"'; at++)
            if (text[at] == '\t' || (text[at] == '\\' && ++at == size))
                return 0;
        return at < size ? at + 1 : 0;
    }
    while (at < size && (is_atext(text[at]) || (text[at] == '.' && at && text[at - 1] != '.')))
        at++;
    return at && text[at - 1] != '.' ? at : 0;
}

/* The length of a source route "@one,@two:" (RFC 5321 appendix C: accepted and ignored), 0 when malformed. */
static size_t route_length(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && text[at] == '@') {
        size_t length = domain_length(text + at + 1, size - at - 1);
        at += length + 1;
        if (!length || at >= size)
            return 0;
        if (text[at] == ':')
            return at + 1;
        if (text[at] != ',')
            return 0;
        at++;
    }
    return 0;
}

/* The mailbox at text: its length, 0 when malformed. "postmaster" alone is one where bare says so. */
static size_t mailbox_length(const char *text, size_t size, bool bare, enum host_smtp_error *error)
{
    size_t local = localpart_length(text, size);
    if (!local)
        return 0;
    size_t domain = 0;
    if (local < size && text[local] == '@') {
        domain = domain_length(text + local + 1, size - local - 1);
        if (!domain)
            return 0;
    } else if (!bare || local != 10 || !mqlua_ascii_same(text, "postmaster", 10)) {
        return 0;
    }
    if (local > HOST_SMTP_LOCALPART_MAX || domain > HOST_SMTP_DOMAIN_MAX)
        *error = HOST_SMTP_LONG_ADDRESS;
    return domain ? local + 1 + domain : local;
}

/* "<...>" at the start of *rest, which moves behind it. The address goes into command. */
static enum host_smtp_error parse_path(struct word *rest, bool sender, struct host_smtp_command *command)
{
    enum host_smtp_error malformed = sender ? HOST_SMTP_BAD_SENDER : HOST_SMTP_BAD_RECIPIENT;
    enum host_smtp_error error = HOST_SMTP_OK;
    const char *at = rest->data;
    const char *end = at + rest->size;
    bool angle = at < end && *at == '<';
    at += angle;
    if (angle && at < end && *at == '>') {
        *rest = (struct word){at + 1, (size_t)(end - at) - 1};
        return sender ? HOST_SMTP_OK : malformed;
    }
    if (angle && at < end && *at == '@') {
        size_t route = route_length(at, (size_t)(end - at));
        if (!route)
            return malformed;
        at += route;
    }
    size_t length = mailbox_length(at, (size_t)(end - at), !sender, &error);
    const char *behind = at + length;
    if (!length ||
        (angle ? behind == end || *behind != '>' : behind != end && *behind != ' ' && *behind != '\t'))
        return malformed;
    if (error)
        return error;
    memcpy(command->address, at, length);
    command->address[length] = '\0';
    for (size_t i = 0; i < length; i++)
        command->utf8_address |= (at[i] & 0x80) != 0;
    behind += angle;
    *rest = (struct word){behind, (size_t)(end - behind)};
    return HOST_SMTP_OK;
}

static int hex_value(char c)
{
    return is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes xtext (RFC 3461 section 4) into a NUL-terminated string of at most capacity bytes with the NUL. */
static bool decode_xtext(struct word in, char *out, size_t capacity)
{
    size_t length = 0;
    for (size_t at = 0; at < in.size; at++) {
        int c = (unsigned char)in.data[at];
        if (c == '+') {
            int high = at + 2 < in.size ? hex_value(in.data[at + 1]) : -1;
            int low = at + 2 < in.size ? hex_value(in.data[at + 2]) : -1;
            c = high < 0 || low < 0 ? 0 : high * 16 + low;
            at += 2;
        }
        /* decoded control characters would end up in logs and headers */
        if (c < 0x20 || c == 0x7f || length + 1 >= capacity)
            return false;
        out[length++] = (char)c;
    }
    out[length] = '\0';
    return length > 0;
}

static bool set_size(struct word value, struct host_smtp_command *command)
{
    uint64_t size = 0;
    if (value.size == 0 || value.size > 19 || command->has_size)
        return false;
    for (size_t i = 0; i < value.size; i++) {
        if (!is_digit(value.data[i]))
            return false;
        size = size * 10 + (uint64_t)(value.data[i] - '0');
    }
    command->size = size;
    command->has_size = true;
    return true;
}

static bool set_body(struct word value, struct host_smtp_command *command)
{
    if (command->body != HOST_SMTP_BODY_NONE)
        return false;
    command->body = same(value, "7BIT")       ? HOST_SMTP_BODY_7BIT
                    : same(value, "8BITMIME") ? HOST_SMTP_BODY_8BITMIME
                                              : HOST_SMTP_BODY_NONE;
    return command->body != HOST_SMTP_BODY_NONE;
}

static bool set_smtputf8(struct word value, struct host_smtp_command *command)
{
    bool first = !command->smtputf8;
    command->smtputf8 = true;
    return first && value.data == NULL;
}

static bool set_auth(struct word value, struct host_smtp_command *command)
{
    return !command->auth[0] && decode_xtext(value, command->auth, sizeof command->auth);
}

static bool set_ret(struct word value, struct host_smtp_command *command)
{
    bool full = same(value, "FULL");
    if (command->ret[0] || (!full && !same(value, "HDRS")))
        return false;
    strcpy(command->ret, full ? "FULL" : "HDRS");
    return true;
}

static bool set_envid(struct word value, struct host_smtp_command *command)
{
    return !command->envid[0] && value.size <= HOST_SMTP_ENVID_MAX &&
           decode_xtext(value, command->envid, sizeof command->envid);
}

static bool set_orcpt(struct word value, struct host_smtp_command *command)
{
    const char *semicolon = value.size ? memchr(value.data, ';', value.size) : NULL;
    return !command->orcpt[0] && value.size <= HOST_SMTP_ORCPT_MAX && semicolon && semicolon > value.data &&
           decode_xtext(value, command->orcpt, sizeof command->orcpt) && !strchr(command->orcpt, '\\') &&
           strchr(command->orcpt, ';')[1] != '\0';
}

static bool set_notify(struct word value, struct host_smtp_command *command)
{
    static const char *const wishes[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"};
    unsigned seen = 0;
    if (command->notify[0] || !value.size)
        return false;
    const char *at = value.data;
    const char *end = at + value.size;
    while (at) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct word one = {at, (size_t)((comma ? comma : end) - at)};
        size_t i = 0;
        while (i < 4 && !same(one, wishes[i]))
            i++;
        /* each once, NEVER only alone */
        if (i == 4 || (seen & 1u << i) || (seen & 1) || (i == 0 && seen))
            return false;
        seen |= 1u << i;
        if (command->notify[0])
            strcat(command->notify, ",");
        strcat(command->notify, wishes[i]);
        at = comma ? comma + 1 : NULL;
    }
    return true;
}

static const struct {
    const char *name;
    enum host_smtp_verb verb;
    bool (*set)(struct word value, struct host_smtp_command *command); /* value.data NULL: no "=" */
} parameters[] = {
    {"SIZE", HOST_SMTP_MAIL, set_size},     {"BODY", HOST_SMTP_MAIL, set_body},
    {"RET", HOST_SMTP_MAIL, set_ret},       {"SMTPUTF8", HOST_SMTP_MAIL, set_smtputf8},
    {"AUTH", HOST_SMTP_MAIL, set_auth},     {"ENVID", HOST_SMTP_MAIL, set_envid},
    {"NOTIFY", HOST_SMTP_RCPT, set_notify}, {"ORCPT", HOST_SMTP_RCPT, set_orcpt},
};

static struct word next_word(struct word *rest)
{
    while (rest->size && (rest->data[0] == ' ' || rest->data[0] == '\t'))
        *rest = (struct word){rest->data + 1, rest->size - 1};
    size_t length = 0;
    while (length < rest->size && rest->data[length] != ' ' && rest->data[length] != '\t')
        length++;
    struct word word = {rest->data, length};
    *rest = (struct word){rest->data + length, rest->size - length};
    return word;
}

static enum host_smtp_error parse_parameters(struct word rest, struct host_smtp_command *command)
{
    enum host_smtp_error error = HOST_SMTP_OK;
    for (struct word word = next_word(&rest); word.size && !error; word = next_word(&rest)) {
        const char *equals = memchr(word.data, '=', word.size);
        struct word name = {word.data, equals ? (size_t)(equals - word.data) : word.size};
        struct word value = {NULL, 0};
        if (equals)
            value = (struct word){equals + 1, word.size - name.size - 1};
        error = HOST_SMTP_NO_PARAMETER;
        for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
            if (parameters[i].verb == command->verb && same(name, parameters[i].name))
                error = parameters[i].set(value, command) ? HOST_SMTP_OK : HOST_SMTP_BAD_PARAMETER;
    }
    return error;
}

/* MAIL and RCPT: "FROM:" or "TO:", blanks (forbidden, but sent by many), a path, parameters. */
static enum host_smtp_error parse_envelope(struct host_smtp_command *command)
{
    bool sender = command->verb == HOST_SMTP_MAIL;
    struct word rest = {command->argument, command->argument_size};
    size_t keyword = sender ? 5 : 3;
    if (!mqlua_ascii_begins(rest.data, rest.size, sender ? "FROM:" : "TO:"))
        return HOST_SMTP_BAD_SYNTAX;
    rest = (struct word){rest.data + keyword, rest.size - keyword};
    while (rest.size && (rest.data[0] == ' ' || rest.data[0] == '\t'))
        rest = (struct word){rest.data + 1, rest.size - 1};
    enum host_smtp_error error = parse_path(&rest, sender, command);
    if (!error && rest.size && rest.data[0] != ' ' && rest.data[0] != '\t')
        error = sender ? HOST_SMTP_BAD_SENDER : HOST_SMTP_BAD_RECIPIENT;
    if (!error)
        error = parse_parameters(rest, command);
    if (!error && sender && command->utf8_address && !command->smtputf8)
        error = HOST_SMTP_NEEDS_UTF8;
    return error;
}

/* Which commands want an argument, and which want none. */
static enum host_smtp_error check_argument(const struct host_smtp_command *command)
{
    switch (command->verb) {
    case HOST_SMTP_EHLO:
    case HOST_SMTP_HELO:
    case HOST_SMTP_VRFY:
    case HOST_SMTP_EXPN:
    case HOST_SMTP_AUTH:
    case HOST_SMTP_BDAT:
        return command->argument_size ? HOST_SMTP_OK : HOST_SMTP_BAD_SYNTAX;
    case HOST_SMTP_DATA:
    case HOST_SMTP_RSET:
    case HOST_SMTP_QUIT:
    case HOST_SMTP_STARTTLS:
        return command->argument_size ? HOST_SMTP_BAD_SYNTAX : HOST_SMTP_OK;
    default:
        return HOST_SMTP_OK;
    }
}

enum host_smtp_error host_smtp_command_parse(const char *line, size_t size, struct host_smtp_command *command)
{
    *command = (struct host_smtp_command){.verb = HOST_SMTP_UNKNOWN, .argument = line + size};
    struct word rest = {line, size};
    struct word name = next_word(&rest);
    if (name.data != line) /* blanks before the command */
        return HOST_SMTP_BAD_VERB;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (same(name, verbs[i].name))
            command->verb = verbs[i].verb;
    while (rest.size && (rest.data[0] == ' ' || rest.data[0] == '\t'))
        rest = (struct word){rest.data + 1, rest.size - 1};
    while (rest.size && (rest.data[rest.size - 1] == ' ' || rest.data[rest.size - 1] == '\t'))
        rest.size--;
    command->argument = rest.data;
    command->argument_size = rest.size;
    if (!clean(line, size))
        return HOST_SMTP_BAD_BYTES;
    if (command->verb == HOST_SMTP_UNKNOWN)
        return HOST_SMTP_BAD_VERB;
    if (command->verb == HOST_SMTP_MAIL || command->verb == HOST_SMTP_RCPT)
        return parse_envelope(command);
    return check_argument(command);
}

const char *host_smtp_command_reply(enum host_smtp_error error)
{
    static const char *const replies[] = {
        [HOST_SMTP_OK] = "250 2.0.0 Ok",
        [HOST_SMTP_BAD_VERB] = "500 5.5.2 Command not recognized",
        [HOST_SMTP_BAD_BYTES] = "500 5.5.2 Command has bytes that are not text",
        [HOST_SMTP_BAD_SYNTAX] = "501 5.5.4 Syntax error in parameters or arguments",
        [HOST_SMTP_BAD_SENDER] = "501 5.1.7 Bad sender address syntax",
        [HOST_SMTP_BAD_RECIPIENT] = "501 5.1.3 Bad recipient address syntax",
        [HOST_SMTP_LONG_ADDRESS] = "501 5.1.0 Address too long",
        [HOST_SMTP_NEEDS_UTF8] = "553 5.6.7 Internationalized address needs SMTPUTF8",
        [HOST_SMTP_BAD_PARAMETER] = "501 5.5.4 Bad parameter value",
        [HOST_SMTP_NO_PARAMETER] = "555 5.5.4 Parameter not recognized",
    };
    return replies[error];
}

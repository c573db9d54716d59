/* SPDX-License-Identifier: MIT */
#include "host/rules.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/call.h"
#include "host/host.h"

static const char *const rule_ids[] = {
#define RULE_ID(id, text) #id,
    HOST_RULES(RULE_ID)
#undef RULE_ID
};

static const char *const rule_texts[] = {
#define RULE_TEXT(id, text) text,
    HOST_RULES(RULE_TEXT)
#undef RULE_TEXT
};

/* Where in which loaded object an address is. */
static void print_site(FILE *out, const char *label, const void *site)
{
    Dl_info info;
    if (!site)
        return;
    if (!dladdr(site, &info) || !info.dli_fname) {
        fprintf(out, "  %s %p\n", label, site);
        return;
    }
    size_t base = (size_t)((const char *)site - (const char *)info.dli_fbase);
    if (info.dli_sname)
        fprintf(out, "  %s %s (%s, +0x%zx)\n", label, info.dli_sname, info.dli_fname, base);
    else
        fprintf(out, "  %s %s+0x%zx\n", label, info.dli_fname, base);
}

/* The call site is of little help after a tail call, so the plugin is named as well. */
static void print_running(FILE *out)
{
    const struct host_worker *worker = host_worker_current();
    if (worker && worker->frame.call != HOST_CALL_NONE)
        fprintf(out, "  in %s of %s\n", worker->frame.name, worker->host->plugins[worker->frame.plugin].path);
}

void host_rule_broken(enum host_rule rule, const void *site, const void *earlier, const char *format, ...)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out) {
        va_list list;
        fprintf(out, "rule %s: %s: ", rule_ids[rule], rule_texts[rule]);
        va_start(list, format);
        vfprintf(out, format, list);
        va_end(list);
        fputc('\n', out);
        print_site(out, "called from", site);
        print_site(out, "earlier at", earlier);
        print_running(out);
        fclose(out);
        fwrite(text, 1, size, stderr); /* one write, so that threads do not mix */
    } else {
        fprintf(stderr, "rule %s: %s\n", rule_ids[rule], rule_texts[rule]);
    }
    fflush(stderr);
    abort();
}

void host_rule_warn(const char *id, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "warning %s: %s\n", id, text);
}

/* SPDX-License-Identifier: MIT */
#include "host/host.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <grp.h>
#include <pwd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/call.h"
#include "host/listener.h"
#include "host/loader.h"
#include "host/outgoing.h"
#include "host/rules.h"
#include "host/tls.h"
#include "host/worker.h"

enum { EXIT_TROUBLE = 1, ERROR_SIZE = 1024 };

void host_stop(struct host *host)
{
    kill(getpid(), SIGTERM);
}

/* The signals that end the program are taken by the main thread alone, with sigwait. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The parent of fork=...: passes signals on and ends as the child did. */
static int follow_child(pid_t child)
{
    int status;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child)
            break;
        siginfo_t info;
        if (sigwaitinfo(&set, &info) > 0 && info.si_signo != SIGCHLD)
            kill(child, SIGTERM);
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    signal(WTERMSIG(status), SIG_DFL);
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, WTERMSIG(status));
    pthread_sigmask(SIG_UNBLOCK, &own, NULL);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core); /* the child's is the one to look at */
    raise(WTERMSIG(status));
    return EXIT_TROUBLE;
}

/* As a daemon the host goes on in a child; the parent stays in the foreground. True in the child; false in
 * the parent, which is then to exit with *status. */
static bool go_to_child(int *status)
{
    pid_t parent = getpid();
    sigset_t child_signal;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child_signal, NULL); /* must not come before the parent waits for it */
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "cannot fork: %s\n", mqlua_error_text(errno));
        *status = EXIT_TROUBLE;
        return false;
    }
    if (child > 0) {
        *status = follow_child(child);
        return false;
    }
    pthread_sigmask(SIG_UNBLOCK, &child_signal, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        raise(SIGTERM);
    return true;
}

static bool change_user(const char *name, char *error, size_t size)
{
    if (!name)
        return true;
    const struct passwd *user = getpwnam(name);
    if (!user) {
        snprintf(error, size, "there is no user %s", name);
        return false;
    }
    if (initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0) {
        snprintf(error, size, "cannot become %s: %s", name, mqlua_error_text(errno));
        return false;
    }
    return true;
}

static bool open_files(struct host *host, char *error, size_t size)
{
    const struct host_options *options = host->options;
    host->inbox = host_inbox_open(options->inbox);
    if (!host->inbox) {
        snprintf(error, size, "cannot open the inbox %s: %s", options->inbox, mqlua_error_text(errno));
        return false;
    }
    host->local = options->local ? host_inbox_open(options->local) : host->inbox;
    if (!host->local) {
        snprintf(error, size, "cannot open the local file %s: %s", options->local, mqlua_error_text(errno));
        return false;
    }
    host->tls_client = host_tls_client();
    host->tls_server =
        host_tls_server(options->tls_certificate, options->tls_key, options->hostname, error, size);
    if (!host->tls_client || !host->tls_server)
        return false;
    if (options->outbox) {
        host->outgoing = host_outgoing_open(host, error, size);
        return host->outgoing != NULL;
    }
    return true;
}

/* True when the last of the files was closed without trouble. */
static bool close_files(struct host *host)
{
    bool ok = true;
    int failure = host_outgoing_close(host->outgoing);
    if (failure) {
        fprintf(stderr, "some results were not written: %s\n", mqlua_error_text(failure));
        ok = false;
    }
    if (host->local != host->inbox && host_inbox_close(host->local) != 0)
        ok = false;
    if (host_inbox_close(host->inbox) != 0)
        ok = false;
    SSL_CTX_free(host->tls_server);
    SSL_CTX_free(host->tls_client);
    return ok;
}

/* Pauses and their ends; a sum that is not right is a mistake of this host or lost control. */
static void print_ledger(struct host *host)
{
    unsigned long pauses = atomic_load(&host->ledger.pauses);
    unsigned long handbacks = atomic_load(&host->ledger.handbacks);
    unsigned long closed = atomic_load(&host->ledger.closed);
    unsigned long left = atomic_load(&host->ledger.left);
    fprintf(stderr, "ledger: pauses=%lu handbacks=%lu closed=%lu left=%lu\n", pauses, handbacks, closed,
            left);
    if (pauses != handbacks + closed + left)
        host_rule_broken(HOST_RULE_LD1, NULL, NULL, "%lu pauses, but %lu ends", pauses,
                         handbacks + closed + left);
}

/* Seconds beyond the grace after which the host ends, whatever its plugins do. */
static const double END_SECONDS = 5;

/* Nothing that another thread may hold for ever is used here, not even the lock of stderr. */
static void end_hard(const char *text)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) > 0 && write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(EXIT_TROUBLE); /* nobody reads it */
    _exit(EXIT_TROUBLE);
}

/* When that is, by host_call_clock; and what ends the thread that looks at it. */
static double end_moment;
static int end_pipe[2] = {-1, -1};
static pthread_t end_thread;

/* On a thread of its own, from the signal to the end of the host. */
static void *watch_end(void *data)
{
    static const char text[] =
        "mqlua: a plugin does not come to its end: the process ends without it. What was in work is lost\n";
    struct pollfd over = {.fd = end_pipe[0], .events = POLLIN};
    double left;
    while ((left = end_moment - host_call_clock()) > 0)
        if (poll(&over, 1, (int)(left * 1000) + 1) > 0)
            return NULL;
    end_hard(text);
    return NULL;
}

static void start_deadline(struct host *host)
{
    end_moment = host_call_clock() + host->options->grace + END_SECONDS;
    if (pipe2(end_pipe, O_CLOEXEC) == 0 && pthread_create(&end_thread, NULL, watch_end, NULL) == 0)
        return;
    fprintf(stderr, "no thread for the deadline: the end may take as long as plugins want\n");
    if (end_pipe[1] >= 0)
        close(end_pipe[0]), close(end_pipe[1]);
    end_pipe[1] = -1;
}

static void stop_deadline(void)
{
    if (end_pipe[1] < 0)
        return;
    close(end_pipe[1]); /* which the thread sees */
    pthread_join(end_thread, NULL);
    close(end_pipe[0]);
}

/* Everything between the loading of the plugins and their cleanup. */
static int serve(struct host *host, const sigset_t *signals)
{
    char error[ERROR_SIZE];
    int signal_number;
    if (!host_worker_make_all(host, host->options->workers + 1)) {
        fprintf(stderr, "no memory for workers\n");
        return EXIT_TROUBLE;
    }
    if (!open_files(host, error, sizeof error) || !host_listener_bind_all(host, error, sizeof error) ||
        !change_user(host->options->user, error, sizeof error)) {
        fprintf(stderr, "mqlua: %s\n", error);
        return EXIT_TROUBLE;
    }
    if (!host_worker_start_all(host)) {
        fprintf(stderr, "mqlua: cannot start the workers\n");
        _exit(EXIT_TROUBLE); /* some threads may run: nothing can be released */
    }
    host_listener_print(host);
    if (host->outgoing && !host_outgoing_start(host->outgoing)) {
        fprintf(stderr, "mqlua: cannot start reading the outbox\n");
        host_stop(host);
    }
    sigwait(signals, &signal_number);
    start_deadline(host);
    host_worker_stop_all(host, host_loader_cleanup);
    return EXIT_SUCCESS;
}

/* A host whose texts are translated calls this first thing, and its plugins live with it. */
static bool choose_locale(const struct host *host)
{
    if (!host->knobs.locale_environment || setlocale(LC_ALL, ""))
        return true;
    fprintf(stderr, "mqlua: the locale that the environment asks for is not there (LC_ALL, LOCPATH)\n");
    return false;
}

static bool load_plugins(struct host *host)
{
    char error[ERROR_SIZE];
    if (!host_loader_load(host, host->knobs.init == HOST_INIT_EACH, error, sizeof error)) {
        fprintf(stderr, "mqlua: %s\n", error);
        return false;
    }
    if (host->knobs.init == HOST_INIT_AFTER_ALL)
        host_loader_initialize(host);
    return true;
}

int host_run(const struct host_options *options)
{
    struct host host = {.options = options, .knobs = options->knobs};
    sigset_t signals;
    int status = EXIT_TROUBLE;
    block_signals(&signals);
    raise_descriptor_limit();
    if (!choose_locale(&host))
        return status;
    if (host.knobs.fork == HOST_FORK_BEFORE_INIT && !go_to_child(&status))
        return status;
    if (!load_plugins(&host)) {
        host_loader_free(&host);
        return EXIT_TROUBLE;
    }
    if (host.knobs.fork == HOST_FORK_AFTER_INIT && !go_to_child(&status)) {
        host_loader_free(&host);
        return status;
    }
    status = serve(&host, &signals);
    if (host.workers && status == EXIT_SUCCESS)
        print_ledger(&host);
    if (host.workers)
        host_worker_free_all(&host);
    if ((!close_files(&host) || atomic_load(&host.lost)) && status == EXIT_SUCCESS)
        status = EXIT_TROUBLE;
    host_loader_free(&host);
    stop_deadline();
    return status;
}

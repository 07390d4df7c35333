/* SPDX-License-Identifier: Apache-2.0 */
/* These programs check what must hold (base/check.h): a check that fails ends the program. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "check.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void lacks_the_lock(void)
{
    AJF_HELD(&lock);
}

static void holds_the_lock(void)
{
    pthread_mutex_lock(&lock);
    AJF_HELD(&lock);
    pthread_mutex_unlock(&lock);
}

static void counts_below_zero(void)
{
    volatile unsigned refs = 0;
    AJF_MUST(refs);
}

/* The signal that a process of its own dies of; 0: it ends well. */
static int dies_of(void (*what)(void))
{
    int status;
    pid_t child = fork();
    if (!child) {
        close(STDERR_FILENO);
        what();
        _exit(0);
    }
    NEED(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_check_that_fails_ends_the_program(void)
{
    CHECK_EQ(dies_of(lacks_the_lock), SIGABRT);
    CHECK_EQ(dies_of(counts_below_zero), SIGABRT);
    CHECK_EQ(dies_of(holds_the_lock), 0);
}

int main(void)
{
    RUN(a_check_that_fails_ends_the_program);
    CHECK_END();
}

/* crew.c: see crew.h. */
#include "common/crew.h"

#include "common/bench.h"

static void must(int code)
{
    if (code != 0) bench_die("threads", NS_NOMEM);
}

static void *member_main(void *argument)
{
    struct crew_member *member = argument;
    struct crew *crew = member->crew;
    for (;;) {
        (void)pthread_barrier_wait(&crew->begin);
        if (crew->is_over) return NULL;
        crew->work(crew->ctx, member->index);
        (void)pthread_barrier_wait(&crew->end);
    }
}

void crew_start(struct crew *crew, size_t count, crew_work work, void *ctx)
{
    if (count > CREW_MAX) bench_die("too many threads", NS_TOOBIG);
    *crew = (struct crew){.count = count, .work = work, .ctx = ctx};
    must(pthread_barrier_init(&crew->begin, NULL, (unsigned)count + 1));
    must(pthread_barrier_init(&crew->end, NULL, (unsigned)count + 1));
    for (size_t i = 0; i < count; i++) {
        struct crew_member *member = &crew->members[i];
        member->crew = crew;
        member->index = i;
        must(pthread_create(&member->thread, NULL, member_main, member));
    }
}

void crew_go(struct crew *crew)
{
    (void)pthread_barrier_wait(&crew->begin);
}

void crew_wait(struct crew *crew)
{
    (void)pthread_barrier_wait(&crew->end);
}

void crew_stop(struct crew *crew)
{
    crew->is_over = true;
    (void)pthread_barrier_wait(&crew->begin);
    for (size_t i = 0; i < crew->count; i++)
        must(pthread_join(crew->members[i].thread, NULL));
    (void)pthread_barrier_destroy(&crew->begin);
    (void)pthread_barrier_destroy(&crew->end);
}

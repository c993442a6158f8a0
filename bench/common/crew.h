/* common/crew.h: threads that work in rounds, for benchmarks with several of them. They are started
 * before the loop, so that a round costs no thread creation. */
#ifndef NS_BENCH_COMMON_CREW_H
#define NS_BENCH_COMMON_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define CREW_MAX 8u

typedef void (*crew_work)(void *ctx, size_t member);

struct crew;
struct crew_member {
    struct crew *crew;
    size_t index;
    pthread_t thread;
};

struct crew {
    size_t count;
    crew_work work;
    void *ctx;
    bool is_over;
    pthread_barrier_t begin, end;
    struct crew_member members[CREW_MAX];
};

void crew_start(struct crew *crew, size_t count, crew_work work, void *ctx);
void crew_go(struct crew *crew);   /* all members begin a round */
void crew_wait(struct crew *crew); /* until all have ended it */
void crew_stop(struct crew *crew); /* between rounds */

#endif

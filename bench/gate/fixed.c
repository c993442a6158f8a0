/* fixed.c: runs one registered benchmark a fixed number of times, for what is repeatable.
 *
 *     bench_fixed --list             names of the gated benchmarks, with their iterations
 *     bench_fixed NAME [ITERATIONS]  one JSON object: name, items, and the counters, exact
 *
 * Under `valgrind --tool=callgrind --instr-atstart=no --collect-atstart=no` only the loop is
 * collected: instrumentation begins at the first bench_next (what comes before runs much faster
 * without it), and collection is off after the last one and in pauses. Files in memory have a
 * simulated clock and entropy, so that nothing differs between two runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "common/driver.h"
#include "common/watch.h"

struct fixed {
    uint64_t wanted;
};

bool bench_next(struct bench *b)
{
    const struct fixed *fixed = b->driver;
    if (!b->is_counting) {
        CALLGRIND_START_INSTRUMENTATION;
        bench_count_on(b);
        CALLGRIND_TOGGLE_COLLECT;
        return fixed->wanted > 0;
    }
    b->done++;
    if (b->done < fixed->wanted) return true;
    CALLGRIND_TOGGLE_COLLECT;
    bench_count_off(b);
    return false;
}

void bench_pause(struct bench *b)
{
    CALLGRIND_TOGGLE_COLLECT;
    bench_count_off(b);
}

void bench_resume(struct bench *b)
{
    bench_count_on(b);
    CALLGRIND_TOGGLE_COLLECT;
}

static void run(const struct bench_entry *entry, uint64_t iterations)
{
    struct bench b;
    struct fixed fixed = {iterations};
    bench_begin(&b, entry, &fixed);
    entry->run(&b);
    bench_end(&b);
    uint64_t items = b.items != 0 ? b.items : b.done;
    printf("{\"name\": \"%s\", \"iterations\": %llu, \"items\": %llu", entry->name,
           (unsigned long long)b.done, (unsigned long long)items);
    printf(", \"allocs\": %llu, \"alloc_bytes\": %llu, \"written_bytes\": %llu, \"syncs\": %llu, "
           "\"pages_copied\": %llu}\n",
           (unsigned long long)b.total.allocs, (unsigned long long)b.total.alloc_bytes,
           (unsigned long long)b.total.written_bytes, (unsigned long long)b.total.syncs,
           (unsigned long long)b.total.pages_copied);
    bench_deinit(&b);
}

static void list(void)
{
    for (size_t i = 0; i < bench_count(); i++) {
        const struct bench_entry *entry = bench_at(i);
        if (!entry->plan.is_gated) continue;
        printf("%s %llu\n", entry->name, (unsigned long long)entry->plan.iterations);
    }
}

int main(int argc, char **argv)
{
    watch_simulate_time();
    bench_add_all();
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list();
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < bench_count(); i++) {
        const struct bench_entry *entry = bench_at(i);
        if (strcmp(entry->name, argv[1]) != 0) continue;
        uint64_t iterations = argc > 2 ? strtoull(argv[2], NULL, 10) : entry->plan.iterations;
        run(entry, iterations != 0 ? iterations : 1);
        bench_remove_files();
        return 0;
    }
    fprintf(stderr, "usage: bench_fixed --list | NAME [ITERATIONS]\n");
    return 2;
}

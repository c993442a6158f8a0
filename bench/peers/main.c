/* main.c: bench_peer_NAME about            who it is, as one JSON object
 *         bench_peer_NAME GROUP DIR N [quick] [history]   one group of workloads, N entries
 *
 * N is the number of entries with values of 100 bytes; a group of 1 KiB values has a fifth of it.
 * Started by bench/peers/run, which says in which order groups and stores follow one another. */
#include <stdio.h>
#include <stdlib.h>

#include "peers/workloads.h"

#define SMALL_VALUE 100u
#define BIG_VALUE 1024u

static const struct group {
    const char *name;
    void (*run)(const struct plan *plan);
    bool is_durable, is_ascending, is_big;
} GROUPS[] = {
    {.name = "seq", .run = group_seq, .is_ascending = true},
    {.name = "big", .run = group_big, .is_big = true},
    {.name = "crash", .run = group_crash},
    {.name = "load", .run = group_load},
    {.name = "open", .run = group_open},
    {.name = "read", .run = group_read},
    {.name = "durable", .run = group_durable, .is_durable = true},
    {.name = "rewrite", .run = group_rewrite},
    {.name = "update", .run = group_update},
    {.name = "delete", .run = group_delete},
};

static int about(void)
{
    printf("{\"name\": \"%s\", \"title\": \"%s\", \"version\": \"%s\", \"settings\": \"%s\", "
           "\"reason\": \"%s\"}\n",
           peer_store.name, peer_store.title, peer_store.version(), peer_store.settings,
           peer_store.reason);
    return 0;
}

static void run(const struct group *group, struct plan *plan, uint64_t count)
{
    plan->peer = &peer_store;
    plan->config.is_durable = group->is_durable;
    dataset_init(&plan->data, group->is_big ? count / 5 : count,
                 group->is_big ? BIG_VALUE : SMALL_VALUE, group->is_ascending);
    group->run(plan);
    dataset_deinit(&plan->data);
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 4; i < argc; i++)
        if (strcmp(argv[i], word) == 0) return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "about") == 0) return about();
    for (size_t i = 0; argc >= 4 && i < sizeof GROUPS / sizeof GROUPS[0]; i++) {
        uint64_t count = strtoull(argv[3], NULL, 10);
        if (strcmp(GROUPS[i].name, argv[1]) != 0) continue;
        if (count < 10000 || count > UINT32_MAX) peer_die("N must be from 10000 to 2^32 - 1");
        struct plan plan = {.config.dir = argv[2], .is_quick = has_word(argc, argv, "quick")};
        plan.config.keeps_history = has_word(argc, argv, "history");
        run(&GROUPS[i], &plan, count);
        return 0;
    }
    fprintf(stderr, "usage: %s about | GROUP DIR N [quick] [history]\n", argv[0]);
    return 2;
}

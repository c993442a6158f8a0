// gbench.cc: runs the registered benchmarks under Google Benchmark.
//
//   bench_suites [--benchmark_filter=REGEX] [--benchmark_format=json] ... [--quick]
//
// --quick leaves the slow ones out. Debian's library prints "Library was built as DEBUG": it is
// compiled without NDEBUG, which puts assertions into its own bookkeeping, outside the timed loop
// bodies; main says so, so that nobody takes it for ours.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "common/bench.h"
#include "common/driver.h"

extern "C" bool bench_next(bench *b)
{
    auto *state = static_cast<benchmark::State *>(b->driver);
    if (b->is_counting) {
        b->done++;
    } else if (b->done == 0) {
        bench_count_on(b); // before the clock starts, which is at the first KeepRunning
    }
    bool more = state->KeepRunning();
    if (!more) bench_count_off(b);
    return more;
}

extern "C" void bench_pause(bench *b)
{
    static_cast<benchmark::State *>(b->driver)->PauseTiming();
    bench_count_off(b);
}

extern "C" void bench_resume(bench *b)
{
    bench_count_on(b);
    static_cast<benchmark::State *>(b->driver)->ResumeTiming();
}

static void run_one(benchmark::State &state, const bench_entry *entry)
{
    bench b;
    bench_begin(&b, entry, &state);
    entry->run(&b);
    bench_end(&b);
    for (size_t i = 0; i < b.figure_count; i++)
        state.counters[b.figures[i].name] = b.figures[i].value;
    uint64_t items = b.items != 0 ? b.items : b.done;
    state.SetItemsProcessed(static_cast<int64_t>(items));
    bench_deinit(&b);
}

static void register_all(bool is_quick)
{
    bench_add_all();
    for (size_t i = 0; i < bench_count(); i++) {
        const bench_entry *entry = bench_at(i);
        if (is_quick && entry->plan.is_slow) continue;
        auto *registered = benchmark::RegisterBenchmark(
            entry->name, [entry](benchmark::State &state) { run_one(state, entry); });
        registered->UseRealTime();
        if (entry->plan.is_fixed) {
            registered->Iterations(static_cast<int64_t>(entry->plan.iterations));
        }
    }
}

int main(int argc, char **argv)
{
    bool is_quick = false;
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--quick") != 0) continue;
        is_quick = true;
        for (int j = i; j + 1 < argc; j++)
            argv[j] = argv[j + 1];
        argc--;
        break;
    }
    register_all(is_quick);
    std::fprintf(stderr, "A line below may say that the benchmark library is a DEBUG build: Debian "
                         "compiles it with its own assertions on. NorthstarDB is a release "
                         "build, and the timed loops run no library code.\n");
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    bench_remove_files();
    return 0;
}

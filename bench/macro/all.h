/* macro/all.h: one function a file; it registers that file's benchmarks. Each is one story, played
 * once a round: the figure is operations of the story per second, and the percentiles are of the
 * operation that the user waits for. */
#ifndef NS_BENCH_MACRO_ALL_H
#define NS_BENCH_MACRO_ALL_H

void macro_agents_day(void);
void macro_code_graph(void);
void macro_replay(void);
void macro_churn(void);

#endif

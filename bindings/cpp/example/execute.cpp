// Executes dumped blocks on a state in the host's own memory, and says what came of it:
//
//     execute BLOCK...

#include "state.hpp"

namespace {

void execute(const braid::Executor &executor, const char *path) {
    const Loaded of = load(path);
    const auto block = braid::Block::whole(of.rlp);
    const auto outcome =
        executor.execute(of.chain, block, of.state, {.check_header = true}).value();
    const auto &statistics = outcome.statistics();
    std::printf("%s: %zu transactions, gas %llu, %zu accounts changed, %llu executions, %.3f ms\n",
                path, outcome.receipts().size(),
                static_cast<unsigned long long>(outcome.gas_used()), outcome.accounts().size(),
                static_cast<unsigned long long>(statistics.executions),
                static_cast<double>(statistics.execute_ns) / 1e6);
}

}  // namespace

int main(int count, char **paths) {
    int failed = count < 2 ? 2 : 0;
    const auto executor = braid::Executor::make();
    for (int i = 1; i < count; i++) {
        try {
            execute(executor.value(), paths[i]);
        } catch (const std::exception &error) {
            std::fprintf(stderr, "%s: %s\n", paths[i], error.what());
            failed = 1;
        }
    }
    return failed;
}

// A host with a thread pool of its own: its threads take blocks from a queue and share one
// executor, state is read in batches, and what each transaction changed goes to a thread that would
// feed the tries while later transactions still run.
//
//     pool THREADS BLOCK...

#include "state.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <set>
#include <thread>

namespace {

// Jobs in order; close() lets run() return once all are done.
class Queue {
public:
    void push(std::function<void()> job) {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        changed_.notify_one();
    }
    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }
    // What a thread of the pool does.
    void run() {
        while (auto job = next()) job();
    }

private:
    std::function<void()> next() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return closed_ || !jobs_.empty(); });
        if (jobs_.empty()) return {};
        auto job = std::move(jobs_.front());
        jobs_.pop_front();
        return job;
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> jobs_;
    bool closed_ = false;
};

// The state, which answers in one go what a block names.
struct BatchState : State {
    void read_many(std::span<const braid::Key> keys, std::span<braid::Answer> answers) const {
        for (std::size_t i = 0; i < keys.size(); i++) {
            const auto found = accounts.find(keys[i].address);
            if (found == accounts.end()) {
                answers[i].status = BRAID_ABSENT;
            } else if (keys[i].kind == BRAID_KEY_ACCOUNT) {
                answers[i].account = found->second.account;
                answers[i].status = BRAID_FOUND;
            } else {
                const auto slot = found->second.storage.find(keys[i].slot);
                const bool set = slot != found->second.storage.end();
                if (set) answers[i].value = slot->second;
                answers[i].status = set ? BRAID_FOUND : BRAID_ABSENT;
            }
        }
    }
};

using Addresses = std::set<braid::Address, ByBytes<braid::Address>>;

// Executes a block; every change of the result has come through the commit stream before.
void execute(const braid::Executor &executor, const char *path) {
    Loaded of = load(path);
    const BatchState state{std::move(of.state)};
    Queue commits;
    Addresses changed;
    std::jthread tries([&] { commits.run(); });
    // Copies what it needs and returns: a slow callback would delay the block.
    const auto on_commit = [&](const braid::Commit &commit) -> std::int32_t {
        std::vector<braid::Address> addresses;
        for (const auto &account : braid::accounts(commit)) addresses.push_back(account.address);
        commits.push([&changed, addresses] { changed.insert(addresses.begin(), addresses.end()); });
        return BRAID_OK;
    };
    const auto outcome = executor.execute(of.chain, braid::Block::whole(of.rlp), state,
                                          {.check_header = true, .commit = on_commit});
    commits.close();
    tries.join();
    for (const auto &change : outcome.value().accounts()) {
        if (!changed.contains(change.address)) throw std::runtime_error("a change without commit");
    }
}

}  // namespace

int main(int count, char **arguments) {
    const int threads = count < 3 ? 0 : std::atoi(arguments[1]);
    if (threads < 1) return 2;
    const auto executor = braid::Executor::make();
    Queue blocks;
    std::atomic<int> done = 0, failed = 0;
    for (int i = 2; i < count; i++) {
        blocks.push([&, path = arguments[i]] {
            try {
                execute(executor.value(), path);
                done++;
            } catch (const std::exception &error) {
                std::fprintf(stderr, "%s: %s\n", path, error.what());
                failed++;
            }
        });
    }
    blocks.close();
    {
        std::vector<std::jthread> pool;
        for (int i = 0; i < threads; i++) pool.emplace_back([&] { blocks.run(); });
    }
    std::printf("%d blocks on %d threads of the host\n", done.load(), threads);
    return failed.load() == 0 ? 0 : 1;
}

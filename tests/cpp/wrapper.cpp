// Every dumped block through braid.hpp, and what a host may do wrong: throw, stop, run out of time,
// call from many threads. The first argument is a small block, all are dumped blocks.

#include "common.hpp"
#include "imports.hpp"
#include "lists.hpp"
#include "ranges.hpp"

#include <thread>

namespace {

void blocks(const std::vector<Dump> &dumps) {
    for (const std::uint32_t threads : {1u, 2u, 4u, 8u}) {
        const auto executor = braid::Executor::make({.threads = threads, .forced = true});
        for (const Dump &of : dumps) {
            braid::ExecuteOptions options{.receipts_rlp = true, .check_header = true};
            const auto state = prestate(*of);
            const auto chain = chain_of(*of);
            check(*of, executor->execute(chain, parts(*of), state, options).value());
            Reader reader(*of, NEVER, 0);
            const auto outcome = executor->execute(chain, parts(*of), reader, options);
            check(*of, outcome.value());
            CHECK(!outcome->receipts_rlp().empty());
            options.slow_reader = true;
            check(*of, executor->execute(chain, whole(*of), reader, options).value());
            options.serial_reader = true;
            const auto refused = executor->execute(chain, whole(*of), reader, options);
            CHECK(!refused && refused.error().status == BRAID_INVALID_ARGUMENT);
            options.slow_reader = false;
            check(*of, executor->execute(chain, whole(*of), reader, options).value());
            import_one(*executor, chain, *of);
            list_one(*executor, chain, *of);
        }
    }
}

// What the k-th read throws comes out of value(), for every k.
void throwing(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    const auto boom = []() -> bool { throw std::out_of_range("boom"); };
    for (int k = 1;; k++) {
        Reader reader(of, boom, k);
        auto outcome = executor.execute(chain, whole(of), reader);
        if (reader.calls < k) {
            check(of, outcome.value());
            CHECK(k > 5);
            return;
        }
        CHECK(!outcome.has_value());
        CHECK_EQUAL(outcome.error().status, BRAID_STATE_UNREADABLE);
        CHECK(!outcome.error().invalid_block());
        try {
            outcome.value();
            CHECK(false);
        } catch (const std::out_of_range &error) {
            CHECK(std::strcmp(error.what(), "boom") == 0);
        }
    }
}

void failing(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    Reader reader(of, [] { return true; }, 1);
    const auto outcome = executor.execute(chain, whole(of), reader);
    CHECK(!outcome && outcome.error().status == BRAID_STATE_UNREADABLE);
    CHECK_EQUAL(outcome.error().host_code, -42);
    CHECK(!outcome.error().message.empty());
    try {
        outcome.value();
        CHECK(false);
    } catch (const braid::Exception &error) {
        CHECK(error.error().status == BRAID_STATE_UNREADABLE);
        CHECK(error.what() == outcome.error().message);
    }
}

void limits(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    const auto state = prestate(of);
    std::stop_source stop;
    check(of, executor.execute(chain, whole(of), state, {.stop = stop.get_token()}).value());
    stop.request_stop();
    auto outcome = executor.execute(chain, whole(of), state, {.stop = stop.get_token()});
    CHECK(!outcome && outcome.error().status == BRAID_CANCELLED);
    outcome = executor.execute(chain, whole(of), state, {.timeout = std::chrono::nanoseconds(1)});
    CHECK(!outcome && outcome.error().status == BRAID_TIMED_OUT);
    // Stopped from another thread, while a reader waits.
    std::stop_source later;
    std::atomic<bool> waiting = false;
    const auto wait = [&] {
        waiting = true;
        while (!later.stop_requested()) std::this_thread::yield();
        return false;
    };
    Reader reader(of, wait, 1);
    std::jthread stopper([&] {
        while (!waiting) std::this_thread::yield();
        later.request_stop();
    });
    outcome = executor.execute(chain, whole(of), reader, {.stop = later.get_token()});
    CHECK(!outcome && outcome.error().status == BRAID_CANCELLED);
}

void invalid(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    CHECK(braid::Chain::by_name("nowhere").error().status == BRAID_UNKNOWN_CHAIN);
    CHECK(braid::Chain::from_config("{\"chainId\":1,\"xTime\":1}").error().status ==
          BRAID_UNKNOWN_FORK);
    CHECK(braid::Chain::from_config("{\"chainId\":1}").value().id() == 1);
    auto state = prestate(of);
    CHECK(!state.storage(braid::Address{}, std::array<braid::Slot, 1>{}));
    braid::Account poor{};
    CHECK(state.account(of.senders[0], poor).has_value());
    const auto outcome = executor.execute(chain, whole(of), state);
    CHECK(!outcome && outcome.error().status == BRAID_INVALID_TRANSACTION);
    CHECK(outcome.error().invalid_block() && outcome.error().transaction == 0);
    const std::array<std::uint8_t, 3> rubbish{1, 2, 3};
    const auto nothing = executor.execute(chain, braid::Block::whole(rubbish), state);
    CHECK(!nothing && nothing.error().status == BRAID_BAD_BLOCK_RLP);
}

// A reader with the optional callbacks; `broken` says which of them throws.
struct Batching : Reader<decltype(NEVER)> {
    int broken;
    std::size_t prefetched = 0, answered = 0;

    Batching(const dump &from, int which) : Reader(from, NEVER, 0), broken(which) {}

    void prefetch(std::span<const braid::Key> keys) {
        if (broken == 1) throw std::out_of_range("prefetch");
        prefetched = keys.size();
    }
    std::int32_t read_many(std::span<const braid::Key> keys, std::span<braid::Answer> answers) {
        if (broken == 2) throw std::out_of_range("read_many");
        CHECK(keys.size() == prefetched && answers.size() == prefetched);
        answered = keys.size();
        if (broken == 3) return -43;
        return dump_read_many(user(), keys.data(), keys.size(), answers.data());
    }
};

void batches(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    static_assert(braid::BatchReader<Batching> && braid::Prefetcher<Batching>);
    static_assert(!braid::BatchReader<Reader<decltype(NEVER)>>);
    Batching good(of, 0);
    auto outcome = executor.execute(chain, whole(of), good);
    check(of, outcome.value());
    CHECK(good.answered > 0 && outcome->statistics().batched_reads > 0);
    for (int broken = 1; broken <= 3; broken++) {
        Batching bad(of, broken);
        outcome = executor.execute(chain, whole(of), bad);
        CHECK(!outcome && outcome.error().status == BRAID_STATE_UNREADABLE);
        CHECK(broken == 3 ? outcome.error().host_code == -43
                          : static_cast<bool>(outcome.error().exception));
    }
}

// The steps arrive in order; what the callback throws or refuses ends the block, at every step.
void commits(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    const auto state = prestate(of);
    std::uint64_t steps = 0, transactions = 0, slots = 0;
    const auto count = [&](const braid::Commit &commit) -> std::int32_t {
        steps++;
        for (const auto &account : braid::accounts(commit)) slots += braid::slots(account).size();
        if (commit.step == BRAID_STEP_TRANSACTION) CHECK_EQUAL(commit.transaction, transactions++);
        for (const auto &code : braid::codes(commit)) CHECK(!braid::bytes(code.bytes).empty());
        return BRAID_OK;
    };
    check(of, executor.execute(chain, whole(of), state, {.commit = count}).value());
    CHECK_EQUAL(transactions, of.transactions_count);
    CHECK(steps >= transactions && slots > 0);
    for (std::uint64_t k = 1; k <= steps; k++) {
        std::uint64_t calls = 0;
        const auto boom = [&](const braid::Commit &) -> std::int32_t {
            if (++calls == k) throw std::out_of_range("step");
            return BRAID_OK;
        };
        Reader reader(of, NEVER, 0);
        auto outcome = executor.execute(chain, whole(of), reader, {.commit = boom});
        CHECK(!outcome && outcome.error().status == BRAID_COMMIT_REFUSED && calls == k);
        try {
            outcome.value();
            CHECK(false);
        } catch (const std::out_of_range &error) {
            CHECK(std::strcmp(error.what(), "step") == 0);
        }
        const auto refuse = [](const braid::Commit &) -> std::int32_t { return 9; };
        outcome = executor.execute(chain, whole(of), state, {.commit = refuse});
        CHECK(!outcome && outcome.error().host_code == 9 && !outcome.error().exception);
    }
}

// A host's own threads share one executor, one state and one chain.
void pool(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    const auto state = prestate(of);
    std::atomic<int> left = 200, done = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 6; i++) {
            threads.emplace_back([&] {
                while (left-- > 0) {
                    Reader reader(of, NEVER, 0);
                    check(of, executor.execute(chain, whole(of), reader).value());
                    check(of, executor.execute(chain, parts(of), state).value());
                    done++;
                }
            });
        }
    }
    CHECK_EQUAL(done.load(), 200);
}

void moves(const braid::Chain &chain, const dump &of) {
    auto first = braid::Executor::make({.threads = 2}).value();
    const auto second = std::move(first);
    auto outcome = second.execute(chain, whole(of), prestate(of)).value();
    const auto kept = std::move(outcome);
    check(of, kept);
    static_assert(!std::is_copy_constructible_v<braid::Executor>);
    static_assert(!std::is_copy_constructible_v<braid::Outcome>);
    static_assert(std::is_nothrow_move_constructible_v<braid::Outcome>);
    static_assert(!braid::StateReader<int>);
}

}  // namespace

int main(int count, char **names) {
    CHECK(count > 1);
    std::vector<Dump> dumps;
    std::vector<const dump *> line;
    for (int i = 1; i < count; i++) {
        dumps.push_back(read_dump(names[i]));
        // Consecutive blocks, in the order of their names.
        if (std::strstr(names[i], "/line-") != nullptr) line.push_back(dumps.back().get());
    }
    const auto chain = braid::Chain::by_name("mainnet").value();
    const dump &small = *dumps.front();
    for (const std::uint32_t threads : {1u, 2u, 4u}) {
        const auto executor =
            braid::Executor::make({.threads = threads, .forced = true}).value();
        throwing(executor, chain, small);
        failing(executor, chain, small);
        limits(executor, chain, small);
        batches(executor, chain, small);
        commits(executor, chain, small);
        imports(executor, chain, small);
        lists(executor, chain, small);
        if (!line.empty()) {
            ranges(executor, chain, line);
            range_answers(executor, chain, line);
            bad_ranges(executor, chain, line);
        }
        invalid(executor, chain, small);
        pool(executor, chain, small);
    }
    moves(chain, small);
    blocks(dumps);
    std::printf("%zu blocks through C++, at 1, 2, 4 and 8 threads: equal\n", dumps.size());
    return 0;
}

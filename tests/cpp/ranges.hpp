// Consecutive blocks through Executor::execute_range.
#pragma once

#include "common.hpp"

#include <stdexcept>

// The blocks are those of the line, in order.
inline void ranges(const braid::Executor &executor, const braid::Chain &chain,
                   const std::vector<const dump *> &line) {
    CHECK(line.size() > 2);
    std::vector<braid::Block> blocks;
    for (const dump *of : line) blocks.push_back(parts(*of));
    std::size_t count = 0;
    std::vector<braid::Outcome> kept;
    const auto take = [&](std::size_t index, braid::Outcome outcome) {
        CHECK_EQUAL(index, count++);
        check(*line[index], outcome);
        kept.push_back(std::move(outcome));
        return true;
    };
    const braid::ExecuteOptions options{.receipts_rlp = true, .check_header = true};
    const auto state = prestate(*line[0]);
    Reader reader(*line[0], NEVER, 0);
    executor.execute_range(chain, blocks, state, take, options).value();
    CHECK_EQUAL(count, line.size());
    count = 0;
    executor.execute_range(chain, blocks, reader, take, options).value();
    CHECK_EQUAL(count, line.size());
    // The results outlive the range.
    for (std::size_t i = 0; i < kept.size(); i++) {
        check(*line[i % line.size()], kept[i]);
        CHECK(!kept[i].receipts_rlp().empty());
    }
    CHECK(executor.execute_range(chain, {}, state, take).has_value());
}

// What the callback throws comes out again, at every block; false ends the range well.
inline void range_answers(const braid::Executor &executor, const braid::Chain &chain,
                          const std::vector<const dump *> &line) {
    std::vector<braid::Block> blocks;
    for (const dump *of : line) blocks.push_back(whole(*of));
    const auto state = prestate(*line[0]);
    for (std::size_t k = 0; k < line.size(); k++) {
        std::size_t calls = 0;
        const auto boom = [&](std::size_t index, const braid::Outcome &) -> bool {
            calls++;
            if (index == k) throw std::out_of_range("block");
            return true;
        };
        auto done = executor.execute_range(chain, blocks, state, boom);
        CHECK(!done && done.error().status == BRAID_BLOCK_REFUSED && calls == k + 1);
        CHECK_EQUAL(done.error().block, static_cast<std::int64_t>(k));
        try {
            done.value();
            CHECK(false);
        } catch (const std::out_of_range &error) {
            CHECK(std::strcmp(error.what(), "block") == 0);
        }
        calls = 0;
        const auto stop = [&](std::size_t index, const braid::Outcome &) {
            calls++;
            return index != k;
        };
        CHECK(executor.execute_range(chain, blocks, state, stop).has_value());
        CHECK_EQUAL(calls, k + 1);
    }
}

inline void bad_ranges(const braid::Executor &executor, const braid::Chain &chain,
                       const std::vector<const dump *> &line) {
    const auto state = prestate(*line[0]);
    const auto none = [](std::size_t, const braid::Outcome &) { return true; };
    const std::vector<braid::Block> gap{whole(*line[0]), whole(*line[2])};
    auto done = executor.execute_range(chain, gap, state, none);
    CHECK(!done && done.error().status == BRAID_BROKEN_RANGE && done.error().block == 1);
    CHECK(!done.error().invalid_block());
    std::vector<braid::Address> senders(line[1]->senders,
                                        line[1]->senders + line[1]->transactions_count);
    senders[2] = braid::Address{};
    std::vector<braid::Block> bad{whole(*line[0]), parts(*line[1])};
    bad[1].senders(senders);
    done = executor.execute_range(chain, bad, state, none);
    CHECK(!done && done.error().invalid_block() && done.error().block == 1);
    CHECK_EQUAL(done.error().transaction, 2);
    done = executor.execute_range(chain, gap, state, braid::RangeCallback{});
    CHECK(!done && done.error().status == BRAID_INVALID_ARGUMENT && done.error().block == -1);
    const auto commit = [](const braid::Commit &) -> std::int32_t { return BRAID_OK; };
    done = executor.execute_range(chain, gap, state, none, {.commit = commit});
    CHECK(!done && done.error().status == BRAID_INVALID_ARGUMENT);
    std::stop_source stop;
    stop.request_stop();
    done = executor.execute_range(chain, gap, state, none, {.stop = stop.get_token()});
    CHECK(!done && done.error().status == BRAID_CANCELLED);
    const auto boom = []() -> bool { throw std::out_of_range("boom"); };
    Reader reader(*line[0], boom, 1);
    done = executor.execute_range(chain, gap, reader, none);
    CHECK(!done && done.error().status == BRAID_STATE_UNREADABLE && done.error().block == 0);
    CHECK(done.error().exception != nullptr);
}

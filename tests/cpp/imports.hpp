// Blocks through Executor::import_block.
#pragma once

#include "common.hpp"

#include <stdexcept>

// Every dumped block is imported, unless its header means another body.
inline void import_one(const braid::Executor &executor, const braid::Chain &chain,
                       const dump &of) {
    Reader reader(of, NEVER, 0);
    const auto imported = executor.import_block(chain, whole(of), reader);
    if (of.has_body == 0) {
        CHECK(!imported && imported.error().status == BRAID_BODY_MISMATCH);
        CHECK(imported.error().invalid_block() && imported.error().transaction == -1);
        return;
    }
    check(of, imported.value());
    CHECK_EQUAL(imported->senders().size(), of.transactions_count);
    for (std::size_t i = 0; i < imported->senders().size(); i++) {
        CHECK(std::memcmp(&imported->senders()[i], &of.senders[i], 20) == 0);
    }
    const auto state = prestate(of);
    const auto again = executor.import_block(chain, whole(of), state, {.receipts_rlp = true});
    check(of, again.value());
    CHECK(!again->receipts_rlp().empty());
    CHECK(std::memcmp(&again->block_hash(), &imported->block_hash(), 32) == 0);
}

inline void imports(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    import_one(executor, chain, of);
    const auto state = prestate(of);
    // Senders that nobody verified are not taken.
    auto imported = executor.import_block(chain, parts(of), state);
    CHECK(!imported && imported.error().status == BRAID_INVALID_ARGUMENT);
    // The header of one block, the body of another.
    const auto fewer = braid::Block::parts(
        braid::bytes(of.header_rlp),
        {of.transactions, static_cast<std::size_t>(of.transactions_count) - 1});
    imported = executor.import_block(chain, fewer, state);
    CHECK(!imported && imported.error().status == BRAID_BODY_MISMATCH);
    CHECK(imported.error().message.find("transactionsRoot") != std::string::npos);
    const auto boom = []() -> bool { throw std::out_of_range("boom"); };
    Reader reader(of, boom, 1);
    imported = executor.import_block(chain, whole(of), reader);
    CHECK(!imported && imported.error().status == BRAID_STATE_UNREADABLE);
    CHECK(imported.error().exception != nullptr);
    std::stop_source stop;
    stop.request_stop();
    imported = executor.import_block(chain, whole(of), state, {.stop = stop.get_token()});
    CHECK(!imported && imported.error().status == BRAID_CANCELLED);
    std::uint64_t transactions = 0;
    const auto count = [&](const braid::Commit &commit) -> std::int32_t {
        transactions += commit.step == BRAID_STEP_TRANSACTION;
        return BRAID_OK;
    };
    check(of, executor.import_block(chain, whole(of), state, {.commit = count}).value());
    CHECK_EQUAL(transactions, of.transactions_count);
    static_assert(!std::is_copy_constructible_v<braid::Imported>);
    static_assert(std::is_nothrow_move_constructible_v<braid::Imported>);
}

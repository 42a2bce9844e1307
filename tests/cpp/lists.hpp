// Blocks with their access lists.
#pragma once

#include "common.hpp"

#include <stdexcept>

// The list of a dumped block is that of sequential execution, and the block with it matches.
inline void list_one(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    Reader reader(of, NEVER, 0);
    const auto produced = executor.produce_access_list(chain, parts(of), reader).value();
    CHECK(produced.has_access_list());
    CHECK(std::ranges::equal(produced.access_list_rlp(), braid::bytes(of.produced_list)));
    auto block = parts(of);
    block.access_list(produced.access_list_rlp());
    const auto listed = executor.execute_with_access_list(chain, block, reader).value();
    if (!listed.matches()) std::fprintf(stderr, "%s\n", listed.check().message);
    CHECK(listed.matches() && listed.message().empty());
    CHECK_EQUAL(listed.gas_used(), of.gas_used);
    CHECK(std::ranges::equal(listed.access_list_rlp(), braid::bytes(of.produced_list)));
}

inline void lists(const braid::Executor &executor, const braid::Chain &chain, const dump &of) {
    list_one(executor, chain, of);
    const auto state = prestate(of);
    auto block = parts(of);
    auto listed = executor.execute_with_access_list(chain, block, state);
    CHECK(!listed && listed.error().status == BRAID_NULL_ARGUMENT);
    // The second transaction leaves 42 in a slot: a list of the block access index and the value.
    const auto right = braid::bytes(of.produced_list);
    std::vector<std::uint8_t> list(right.begin(), right.end());
    const std::array<std::uint8_t, 3> entry{0xc2, 2, 42};
    const auto found = std::ranges::search(list, entry);
    CHECK(!found.empty());
    found.back() = 41;
    block.access_list(list);
    listed = executor.execute_with_access_list(chain, block, state);
    const braid::AccessListCheck &check = listed.value().check();
    CHECK(!listed->matches() && check.mismatches == 1 && check.index == 2);
    CHECK(check.part == BRAID_ACCESS_STORAGE && check.address.bytes[0] == 0xcc);
    CHECK(check.claimed.number.bytes[31] == 41 && check.produced.number.bytes[31] == 42);
    CHECK(listed->message().find("block access index 2") != std::string_view::npos);
    CHECK_EQUAL(listed->gas_used(), of.gas_used);
    list.pop_back();
    block.access_list(list);
    listed = executor.execute_with_access_list(chain, block, state);
    CHECK(!listed && listed.error().status == BRAID_BAD_ACCESS_LIST);
    const auto commit = [](const braid::Commit &) -> std::int32_t { return BRAID_OK; };
    const auto produced = executor.produce_access_list(chain, block, state, {.commit = commit});
    CHECK(!produced && produced.error().status == BRAID_INVALID_ARGUMENT);
    const auto boom = []() -> bool { throw std::out_of_range("boom"); };
    Reader reader(of, boom, 1);
    block.access_list(right);
    listed = executor.execute_with_access_list(chain, block, reader);
    CHECK(!listed && listed.error().exception != nullptr);
    static_assert(!std::is_copy_constructible_v<braid::Listed>);
    static_assert(std::is_nothrow_move_constructible_v<braid::Listed>);
}

// A state in the host's own memory, and dumped blocks: the files of
// `cargo run -p braid-tests --example dump -- OUT [RECORDED]`.
#pragma once

#include <braid.hpp>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

template <class T>
struct ByBytes {
    bool operator()(const T &left, const T &right) const {
        return std::memcmp(&left, &right, sizeof(T)) < 0;
    }
};

// A host's state. Reading it changes nothing, so that many threads may read at once.
struct State {
    struct Entry {
        braid::Account account{};
        std::map<braid::U256, braid::U256, ByBytes<braid::U256>> storage;
    };
    std::map<braid::Address, Entry, ByBytes<braid::Address>> accounts;
    std::map<braid::Hash, std::vector<std::uint8_t>, ByBytes<braid::Hash>> codes;
    std::map<std::uint64_t, braid::Hash> hashes;

    braid::Read<braid::Account> account(const braid::Address &address) const {
        const auto found = accounts.find(address);
        if (found == accounts.end()) return braid::absent;
        return found->second.account;
    }
    braid::Read<braid::U256> storage(const braid::Address &address, const braid::U256 &key) const {
        const auto &storage = accounts.at(address).storage;
        const auto found = storage.find(key);
        if (found == storage.end()) return braid::absent;
        return found->second;
    }
    braid::Read<braid::Code> code(const braid::Hash &hash) const {
        const auto found = codes.find(hash);
        if (found == codes.end()) return braid::absent;
        return braid::Bytes(found->second);
    }
    braid::Read<braid::Hash> block_hash(std::uint64_t number) const {
        const auto found = hashes.find(number);
        if (found == hashes.end()) return braid::absent;
        return found->second;
    }
};

// Takes a file apart.
class Cursor {
public:
    explicit Cursor(braid::Bytes bytes) : left_(bytes) {}

    braid::Bytes take(std::uint64_t count) {
        if (count > left_.size()) throw std::runtime_error("the file ends too early");
        const braid::Bytes taken = left_.first(static_cast<std::size_t>(count));
        left_ = left_.subspan(static_cast<std::size_t>(count));
        return taken;
    }
    template <class T>
    T value() {
        T value{};
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::uint64_t number() {
        std::uint64_t number = 0;
        unsigned shift = 0;
        for (const std::uint8_t byte : take(8)) {
            number |= std::uint64_t{byte} << shift;
            shift += 8;
        }
        return number;
    }
    braid::Bytes bytes() { return take(number()); }

private:
    braid::Bytes left_;
};

inline State read_state(Cursor &from) {
    State state;
    for (auto accounts = from.number(); accounts > 0; accounts--) {
        auto &entry = state.accounts[from.value<braid::Address>()];
        entry.account.nonce = from.number();
        entry.account.balance = from.value<braid::U256>();
        entry.account.code_hash = from.value<braid::Hash>();
        for (auto slots = from.number(); slots > 0; slots--) {
            const auto slot = from.value<braid::Slot>();
            entry.storage.emplace(slot.key, slot.value);
        }
    }
    for (auto codes = from.number(); codes > 0; codes--) {
        const auto hash = from.value<braid::Hash>();
        const auto code = from.bytes();
        state.codes.emplace(hash, std::vector<std::uint8_t>(code.begin(), code.end()));
    }
    for (auto hashes = from.number(); hashes > 0; hashes--) {
        const auto number = from.number();
        state.hashes.emplace(number, from.value<braid::Hash>());
    }
    return state;
}

// A dumped block. The bytes of the block lie in `text`.
struct Loaded {
    std::vector<char> text;
    braid::Chain chain;
    braid::Bytes rlp;
    State state;
};

inline Loaded load(const char *path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot be opened");
    std::vector<char> text((std::istreambuf_iterator<char>(file)), {});
    Cursor from({reinterpret_cast<const std::uint8_t *>(text.data()), text.size()});
    const auto magic = from.take(8);
    if (std::memcmp(magic.data(), "BRAIDBK1", 8) != 0) throw std::runtime_error("no dumped block");
    const auto name = from.bytes();
    const std::string rules(name.begin(), name.end());
    auto chain = rules.starts_with('{') ? braid::Chain::from_config(rules)
                                        : braid::Chain::by_name(rules);
    from.bytes();  // What the tests expect; here the header is enough.
    const auto rlp = from.bytes();
    for (int parts = 0; parts < 3; parts++) from.bytes();  // The same block in parts.
    for (auto transactions = from.number(); transactions > 0; transactions--) {
        from.take(20);
        from.bytes();
    }
    State state = read_state(from);
    return {std::move(text), std::move(chain).value(), rlp, std::move(state)};
}

// braid for C++20: move-only handles, span views and exception-safe readers over braid.h.
//
// Nothing here needs exceptions: what can fail gives an Expected, and a state reader may report
// failure by value. Where exceptions are on, Expected::value() throws, and what a reader throws
// comes out of it again.
//
// Views (spans, references to C structs) live as long as the handle that gave them.

#ifndef BRAID_HPP
#define BRAID_HPP

#include <braid.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace braid {
inline namespace v0 {

using Address = braid_address;
using Hash = braid_hash;
using U256 = braid_u256;
using Bloom = braid_bloom;
using Account = braid_account;
using Slot = braid_slot;
using Receipt = braid_receipt;
using Log = braid_log;
using AccountChange = braid_account_change;
using CodeWithHash = braid_code;
using Statistics = braid_statistics;
using Key = braid_key;
using Answer = braid_answer;
using Commit = braid_commit;
using CommittedAccount = braid_committed_account;
using AccessListCheck = braid_access_list_check;
using AccessValue = braid_access_value;
using Bytes = std::span<const std::uint8_t>;

static_assert(sizeof(Address) == 20 && sizeof(Hash) == 32 && sizeof(U256) == 32);
static_assert(sizeof(Account) == 72 && sizeof(Slot) == 64 && sizeof(Bloom) == 256);

inline Bytes bytes(const braid_bytes &from) {
    return {from.ptr, static_cast<std::size_t>(from.len)};
}

inline braid_bytes c_bytes(Bytes from) {
    // An empty span may point anywhere; for braid NULL means "not given".
    return {from.empty() ? nullptr : from.data(), from.size()};
}

/// Why a call failed.
struct Error {
    /// BRAID_ status.
    std::int32_t status = BRAID_INTERNAL;
    /// The failing transaction's index, or -1.
    std::int64_t transaction = -1;
    /// What the failing callback answered.
    std::int32_t host_code = 0;
    std::string message;
    /// What a reader, the commit callback or that of a range threw, if it did.
    std::exception_ptr exception;
    /// The index in the range of the block that failed, or -1.
    std::int64_t block = -1;

    /// Only then may a host reject the block.
    bool invalid_block() const { return status >= 300 && status < 400; }
};

/// Thrown by Expected::value() where there is none.
class Exception : public std::exception {
public:
    explicit Exception(Error error) : error_(std::make_shared<Error>(std::move(error))) {}
    const char *what() const noexcept override { return error_->message.c_str(); }
    const Error &error() const { return *error_; }

private:
    // Shared, so that copying the exception does not throw.
    std::shared_ptr<Error> error_;
};

namespace detail {

[[noreturn]] inline void fail(const Error &error) {
#if defined(__cpp_exceptions)
    if (error.exception) std::rethrow_exception(error.exception);
    throw Exception(error);
#else
    static_cast<void>(error);
    std::abort();
#endif
}

template <auto Free>
struct Deleter {
    template <class T>
    void operator()(T *handle) const {
        Free(handle);
    }
};

template <class T, auto Free>
using Handle = std::unique_ptr<T, Deleter<Free>>;

inline Error take(std::int32_t status, braid_error *raw) {
    Handle<braid_error, braid_error_free> owner(raw);
    Error error;
    error.status = status;
    if (const braid_error_view *view = braid_error_get(raw)) {
        error.transaction = view->transaction;
        error.host_code = view->host_code;
        error.message.assign(view->message, static_cast<std::size_t>(view->message_len));
        error.block = braid_error_block(raw);
    }
    return error;
}

}  // namespace detail

/// A value or an Error.
template <class T>
class [[nodiscard]] Expected {
public:
    Expected(T value) : either_(std::in_place_index<0>, std::move(value)) {}
    Expected(Error error) : either_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const { return either_.index() == 0; }
    explicit operator bool() const { return has_value(); }
    /// The value; without one, throws, or ends the process where exceptions are off.
    T &value() & {
        if (!has_value()) detail::fail(*std::get_if<1>(&either_));
        return *std::get_if<0>(&either_);
    }
    const T &value() const & {
        if (!has_value()) detail::fail(*std::get_if<1>(&either_));
        return *std::get_if<0>(&either_);
    }
    T &&value() && { return std::move(value()); }
    T &operator*() & { return value(); }
    const T &operator*() const & { return value(); }
    T *operator->() { return &value(); }
    const T *operator->() const { return &value(); }
    /// Only without a value.
    const Error &error() const { return *std::get_if<1>(&either_); }

private:
    std::variant<T, Error> either_;
};

template <>
class [[nodiscard]] Expected<void> {
public:
    Expected() = default;
    Expected(Error error) : error_(std::move(error)) {}

    bool has_value() const { return !error_.has_value(); }
    explicit operator bool() const { return has_value(); }
    void value() const {
        if (error_) detail::fail(*error_);
    }
    const Error &error() const { return *error_; }

private:
    std::optional<Error> error_;
};

namespace detail {

/// Calls a function that gives a handle.
template <class Wrapper, class T, class Call>
Expected<Wrapper> make(Call call) {
    T *out = nullptr;
    braid_error *error = nullptr;
    const std::int32_t status = call(&out, &error);
    if (status != BRAID_OK) return take(status, error);
    return Wrapper(out);
}

template <class Call>
Expected<void> check(Call call) {
    braid_error *error = nullptr;
    const std::int32_t status = call(&error);
    if (status != BRAID_OK) return take(status, error);
    return {};
}

}  // namespace detail

/// A chain's rules.
class Chain {
public:
    /// mainnet, sepolia, holesky or hoodi.
    static Expected<Chain> by_name(const std::string &name) {
        return detail::make<Chain, braid_chain>(
            [&](auto out, auto error) { return braid_chain_by_name(name.c_str(), out, error); });
    }
    /// From the `config` object of a geth genesis file.
    static Expected<Chain> from_config(std::string_view json) {
        const auto *text = reinterpret_cast<const std::uint8_t *>(json.data());
        return detail::make<Chain, braid_chain>([&](auto out, auto error) {
            return braid_chain_from_config(text, json.size(), out, error);
        });
    }
    explicit Chain(braid_chain *handle) : handle_(handle) {}

    std::uint64_t id() const { return braid_chain_id(handle_.get()); }
    const braid_chain *get() const { return handle_.get(); }

private:
    detail::Handle<braid_chain, braid_chain_free> handle_;
};

/// A parent state in memory.
class Prestate {
public:
    static Expected<Prestate> make() {
        return detail::make<Prestate, braid_prestate>(
            [](auto out, auto error) { return braid_prestate_new(out, error); });
    }
    explicit Prestate(braid_prestate *handle) : handle_(handle) {}

    Expected<void> account(const Address &address, const Account &account) {
        return detail::check([&](auto error) {
            return braid_prestate_account(handle_.get(), &address, &account, error);
        });
    }
    /// The account must have been added.
    Expected<void> storage(const Address &address, std::span<const Slot> slots) {
        return detail::check([&](auto error) {
            return braid_prestate_storage(handle_.get(), &address, slots.data(), slots.size(),
                                          error);
        });
    }
    /// Gives the code's hash.
    Expected<Hash> code(Bytes code) {
        Hash hash{};
        auto done = detail::check([&](auto error) {
            return braid_prestate_code(handle_.get(), code.data(), code.size(), &hash, error);
        });
        if (!done) return done.error();
        return hash;
    }
    Expected<void> block_hash(std::uint64_t number, const Hash &hash) {
        return detail::check([&](auto error) {
            return braid_prestate_block_hash(handle_.get(), number, &hash, error);
        });
    }
    const braid_prestate *get() const { return handle_.get(); }

private:
    detail::Handle<braid_prestate, braid_prestate_free> handle_;
};

/// A block to execute. Borrows all that it is made of.
class Block {
public:
    /// The whole block as peers exchange it.
    static Block whole(Bytes rlp) {
        Block block;
        block.raw_.rlp = c_bytes(rlp);
        return block;
    }
    /// Header, and transactions as in EIP-2718.
    static Block parts(Bytes header_rlp, std::span<const braid_bytes> transactions) {
        Block block;
        block.raw_.header_rlp = c_bytes(header_rlp);
        block.raw_.transactions = transactions.data();
        block.raw_.transactions_count = transactions.size();
        return block;
    }
    Block &ommers(Bytes rlp) { return raw_.ommers_rlp = c_bytes(rlp), *this; }
    Block &withdrawals(Bytes rlp) { return raw_.withdrawals_rlp = c_bytes(rlp), *this; }
    Block &access_list(Bytes rlp) { return raw_.access_list_rlp = c_bytes(rlp), *this; }
    /// Verified senders; without them braid recovers them.
    Block &senders(std::span<const Address> senders) {
        raw_.senders = senders.data();
        raw_.senders_count = senders.size();
        return *this;
    }
    const braid_block &raw() const { return raw_; }

private:
    Block() { raw_.struct_size = sizeof raw_; }
    braid_block raw_{};
};

/// A reader's answer: there is none. An absent slot is zero; an absent code is a failure.
struct Absent {};
inline constexpr Absent absent{};

/// A reader's answer: the state cannot be read. The code comes back as Error::host_code; it is
/// neither 0 nor 1.
struct Failed {
    std::int32_t code;
};

/// A reader's answer.
template <class T>
class Read {
public:
    template <class U>
        requires(std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, Read>)
    Read(U &&value) : answer_(std::in_place_index<0>, std::forward<U>(value)) {}
    Read(Absent) : answer_(std::in_place_index<1>) {}
    Read(std::nullopt_t) : Read(absent) {}
    Read(Failed failed) : answer_(std::in_place_index<2>, failed) {}
    Read(std::optional<T> value) : Read(absent) {
        if (value) answer_.template emplace<0>(std::move(*value));
    }

    const T *found() const { return std::get_if<0>(&answer_); }
    std::int32_t status() const {
        if (answer_.index() == 0) return BRAID_FOUND;
        if (answer_.index() == 1) return BRAID_ABSENT;
        const std::int32_t code = std::get_if<2>(&answer_)->code;
        return code == BRAID_FOUND || code == BRAID_ABSENT ? -1 : code;
    }

private:
    std::variant<T, Absent, Failed> answer_;
};

/// A code that a reader gives: borrowed from memory that outlives the call, or owned.
class Code {
public:
    Code(Bytes borrowed) : bytes_(borrowed) {}
    Code(const std::vector<std::uint8_t> &borrowed) : bytes_(Bytes(borrowed)) {}
    Code(std::vector<std::uint8_t> &&owned) : bytes_(std::move(owned)) {}

    Bytes bytes() const {
        const auto *owned = std::get_if<1>(&bytes_);
        return owned ? Bytes(*owned) : *std::get_if<0>(&bytes_);
    }

private:
    std::variant<Bytes, std::vector<std::uint8_t>> bytes_;
};

/// Reads the parent state. Called by several threads at once unless ExecuteOptions::serial_reader
/// is set; may block, may throw, must not execute a block.
template <class R>
concept StateReader = requires(R &reader, const Address &address, const U256 &key,
                               const Hash &hash, std::uint64_t number) {
    { reader.account(address) } -> std::convertible_to<Read<Account>>;
    { reader.storage(address, key) } -> std::convertible_to<Read<U256>>;
    { reader.code(hash) } -> std::convertible_to<Read<Code>>;
    { reader.block_hash(number) } -> std::convertible_to<Read<Hash>>;
};

/// A reader that wants to know early what a block names (senders, recipients, access lists), to
/// fetch it in the background. Called once per execution, before any other read. May return a
/// status as in Failed; 0 is success.
template <class R>
concept Prefetcher = StateReader<R> && requires(R &reader, std::span<const Key> keys) {
    reader.prefetch(keys);
};

/// A reader that answers the same keys in one go: answers[i] belongs to keys[i]; what it leaves
/// unanswered is read singly. Called as Prefetcher, after it.
template <class R>
concept BatchReader =
    StateReader<R> && requires(R &reader, std::span<const Key> keys, std::span<Answer> answers) {
        reader.read_many(keys, answers);
    };

/// Takes each committed step in block order while later transactions still run; on any thread, one
/// at a time. Any answer but BRAID_OK, or an exception, abandons the block.
using CommitCallback = std::function<std::int32_t(const Commit &)>;

namespace detail {

/// A callback threw.
inline constexpr std::int32_t THREW = INT32_MIN;

/// What callbacks threw during one execution: the first exception.
class Thrown {
public:
    /// No exception passes the C functions below.
    template <class Call>
    std::int32_t guard(Call call) noexcept {
#if defined(__cpp_exceptions)
        try {
            return call();
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!exception_) exception_ = std::current_exception();
            return THREW;
        }
#else
        return call();
#endif
    }
    std::exception_ptr exception() const { return exception_; }

private:
    std::mutex mutex_;
    std::exception_ptr exception_;
};

/// Calls what returns a status or nothing.
template <class Call>
std::int32_t status_of(Call call) {
    if constexpr (std::is_void_v<decltype(call())>) {
        call();
        return BRAID_OK;
    } else {
        return call();
    }
}

/// The commit callback of one execution.
struct Commits {
    const CommitCallback &callback;
    Thrown &thrown;

    static std::int32_t commit(void *user, const Commit *step) noexcept {
        auto &commits = *static_cast<Commits *>(user);
        return commits.thrown.guard([&] { return commits.callback(*step); });
    }
};

/// What the reader's callbacks of one execution share.
template <StateReader R>
struct Calls {
    R &reader;
    Thrown &thrown;

    template <class Call>
    std::int32_t guard(Call call) noexcept {
        return thrown.guard(call);
    }

    /// Points here, where the callbacks find their reader.
    braid_reader raw(std::uint32_t flags) {
        braid_reader raw{};
        raw.struct_size = sizeof raw;
        raw.flags = flags;
        raw.user = this;
        raw.account = account;
        raw.storage = storage;
        raw.code = code;
        raw.block_hash = block_hash;
        if constexpr (Prefetcher<R>) raw.prefetch = prefetch;
        if constexpr (BatchReader<R>) raw.read_many = read_many;
        return raw;
    }

    static std::int32_t prefetch(void *user, const Key *keys, std::uint64_t count) noexcept
        requires Prefetcher<R>
    {
        auto &calls = *static_cast<Calls *>(user);
        const std::span all(keys, static_cast<std::size_t>(count));
        return calls.guard([&] { return status_of([&] { return calls.reader.prefetch(all); }); });
    }
    static std::int32_t read_many(void *user, const Key *keys, std::uint64_t count,
                                  Answer *answers) noexcept
        requires BatchReader<R>
    {
        auto &calls = *static_cast<Calls *>(user);
        const auto size = static_cast<std::size_t>(count);
        const std::span all(keys, size);
        const std::span to(answers, size);
        return calls.guard(
            [&] { return status_of([&] { return calls.reader.read_many(all, to); }); });
    }

    template <class T>
    static std::int32_t answer(const Read<T> &read, T *to) {
        if (const T *found = read.found()) *to = *found;
        return read.status();
    }

    static std::int32_t account(void *user, const Address *address, Account *to) noexcept {
        auto &calls = *static_cast<Calls *>(user);
        return calls.guard([&] { return answer<Account>(calls.reader.account(*address), to); });
    }
    static std::int32_t storage(void *user, const Address *address, const U256 *key,
                                U256 *to) noexcept {
        auto &calls = *static_cast<Calls *>(user);
        return calls.guard([&] { return answer<U256>(calls.reader.storage(*address, *key), to); });
    }
    static std::int32_t code(void *user, const Hash *hash, braid_code_sink *sink) noexcept {
        auto &calls = *static_cast<Calls *>(user);
        return calls.guard([&]() -> std::int32_t {
            const Read<Code> read = calls.reader.code(*hash);
            const Code *found = read.found();
            if (!found) return read.status();
            const Bytes bytes = found->bytes();
            return braid_code_put(sink, bytes.data(), bytes.size());
        });
    }
    static std::int32_t block_hash(void *user, std::uint64_t number, Hash *to) noexcept {
        auto &calls = *static_cast<Calls *>(user);
        return calls.guard([&] { return answer<Hash>(calls.reader.block_hash(number), to); });
    }
};

/// What a callback threw goes into the error.
template <class Result>
Expected<Result> with_thrown(Expected<Result> result, const Thrown &thrown) {
    if (result || result.error().host_code != THREW) return result;
    Error error = result.error();
    error.exception = thrown.exception();
    return error;
}

/// Calls with a token that `stop` triggers; with NULL where it never will.
template <class Result, class Call>
Expected<Result> cancellable(const std::stop_token &stop, Call call) {
    if (!stop.stop_possible()) return call(nullptr);
    braid_cancel *cancel = nullptr;
    braid_error *error = nullptr;
    const std::int32_t status = braid_cancel_new(&cancel, &error);
    if (status != BRAID_OK) return take(status, error);
    const Handle<braid_cancel, braid_cancel_free> owner(cancel);
    const std::stop_callback trigger(stop, [cancel] { braid_cancel_trigger(cancel); });
    return call(cancel);
}

}  // namespace detail

/// The result of a valid block; everything it gives lives as long as it does.
class Outcome {
public:
    explicit Outcome(braid_result *handle) : handle_(handle), view_(braid_result_get(handle)) {}

    const braid_result *get() const { return handle_.get(); }
    const braid_result_view &view() const { return *view_; }
    std::uint64_t gas_used() const { return view_->gas_used; }
    std::uint64_t blob_gas_used() const { return view_->blob_gas_used; }
    const Hash &receipts_root() const { return view_->receipts_root; }
    const Hash &requests_hash() const { return view_->requests_hash; }
    const Bloom &logs_bloom() const { return view_->logs_bloom; }
    bool has_requests() const { return (view_->flags & BRAID_HAS_REQUESTS) != 0; }
    bool has_access_list() const { return (view_->flags & BRAID_HAS_ACCESS_LIST) != 0; }
    bool has_receipts_root() const { return (view_->flags & BRAID_HAS_RECEIPTS_ROOT) != 0; }
    /// Each one with its type byte in front (EIP-7685).
    std::span<const braid_bytes> requests() const {
        return all(view_->requests, view_->requests_count);
    }
    std::span<const Receipt> receipts() const {
        return all(view_->receipts, view_->receipts_count);
    }
    std::span<const Log> logs() const { return all(view_->logs, view_->logs_count); }
    std::span<const AccountChange> accounts() const {
        return all(view_->accounts, view_->accounts_count);
    }
    std::span<const CodeWithHash> codes() const { return all(view_->codes, view_->codes_count); }
    Bytes receipts_rlp() const { return bytes(view_->receipts_rlp); }
    Bytes access_list_rlp() const { return bytes(view_->access_list_rlp); }
    const Statistics &statistics() const { return *view_->statistics; }

private:
    template <class T>
    static std::span<const T> all(const T *ptr, std::uint64_t count) {
        return {ptr, static_cast<std::size_t>(count)};
    }
    detail::Handle<braid_result, braid_result_free> handle_;
    const braid_result_view *view_;
};

/// The result of a block that agrees with its header in everything but the state root, which was
/// not looked at.
class Imported : public Outcome {
public:
    explicit Imported(braid_result *handle)
        : Outcome(handle), import_(braid_result_import(handle)) {}

    /// The hash of the block.
    const Hash &block_hash() const { return import_->block_hash; }
    /// The senders of the transactions, recovered from the signatures.
    std::span<const Address> senders() const {
        return {import_->senders, static_cast<std::size_t>(import_->senders_count)};
    }

private:
    const braid_import_view *import_;
};

/// The result of a block that was executed with a claimed access list.
class Listed : public Outcome {
public:
    explicit Listed(braid_result *handle)
        : Outcome(handle), check_(braid_result_access_list_check(handle)) {}

    /// Whether the claimed list is the one that the execution produced.
    bool matches() const { return check_->mismatches == 0; }
    /// How many entries differ, and the first of them.
    const AccessListCheck &check() const { return *check_; }
    /// The first difference in words; empty without one.
    std::string_view message() const {
        return {check_->message, static_cast<std::size_t>(check_->message_len)};
    }

private:
    const AccessListCheck *check_;
};

inline std::span<const Log> logs(const Receipt &of) {
    return {of.logs, static_cast<std::size_t>(of.logs_count)};
}
inline std::span<const Hash> topics(const Log &of) { return {of.topics, of.topics_count}; }
inline std::span<const Slot> slots(const AccountChange &of) {
    return {of.slots, static_cast<std::size_t>(of.slots_count)};
}
inline std::span<const Slot> slots(const CommittedAccount &of) {
    return {of.slots, static_cast<std::size_t>(of.slots_count)};
}
inline std::span<const CommittedAccount> accounts(const Commit &of) {
    return {of.accounts, static_cast<std::size_t>(of.accounts_count)};
}
inline std::span<const CodeWithHash> codes(const Commit &of) {
    return {of.codes, static_cast<std::size_t>(of.codes_count)};
}

/// Takes the blocks of a range in order, on the calling thread, while later ones are executed.
/// False ends the range without an error, an exception with one. Must not execute a block, nor wait
/// for one on the same executor.
using RangeCallback = std::function<bool(std::size_t index, Outcome outcome)>;

namespace detail {

/// The callback of one range.
struct Blocks {
    const RangeCallback &callback;
    Thrown &thrown;

    static std::int32_t each(void *user, std::uint64_t index, braid_result *result) noexcept {
        auto &blocks = *static_cast<Blocks *>(user);
        Outcome outcome(result);
        return blocks.thrown.guard([&]() -> std::int32_t {
            const auto at = static_cast<std::size_t>(index);
            return blocks.callback(at, std::move(outcome)) ? BRAID_OK : BRAID_RANGE_STOP;
        });
    }
};

}  // namespace detail

struct ExecutorOptions {
    /// The calling thread included; 0: one per core.
    std::uint32_t threads = 0;
    /// Speculate on every block, for tests.
    bool forced = false;
};

struct ExecuteOptions {
    /// 0: none.
    std::chrono::nanoseconds timeout{0};
    std::stop_token stop{};
    bool receipts_rlp = false;
    bool check_header = false;
    /// The reader is called by one thread at a time.
    bool serial_reader = false;
    /// A read takes much longer than the step of a transaction that asks for it (from some 30
    /// microseconds on): as many reads are then under way as the executor has threads, which should be
    /// several times as many as there are cores. Not together with serial_reader.
    bool slow_reader = false;
    /// Empty: no commit stream.
    CommitCallback commit{};
};

/// An engine with its threads. Its methods may be called by several threads; they take turns.
class Executor {
public:
    static Expected<Executor> make(const ExecutorOptions &options = {}) {
        const std::uint32_t have = braid_abi_version(), need = BRAID_ABI_VERSION;
        if (have >> 16 != need >> 16 || have < need) {
            Error error;
            error.status = BRAID_INVALID_ARGUMENT;
            error.message = "the library's ABI is " + std::to_string(have) + ", braid.h's is " +
                            std::to_string(need);
            return error;
        }
        braid_executor_options raw{};
        raw.struct_size = sizeof raw;
        raw.threads = options.threads;
        raw.flags = options.forced ? BRAID_EXECUTOR_FORCED : 0;
        return detail::make<Executor, braid_executor>(
            [&](auto out, auto error) { return braid_executor_new(&raw, out, error); });
    }
    explicit Executor(braid_executor *handle) : handle_(handle) {}

    /// Executes a block on a state in memory.
    Expected<Outcome> execute(const Chain &chain, const Block &block, const Prestate &state,
                              const ExecuteOptions &options = {}) const {
        return call<Outcome>(braid_execute, chain, block, state, options);
    }

    /// Executes a block on a state that is read through `reader`.
    template <StateReader R>
    Expected<Outcome> execute(const Chain &chain, const Block &block, R &reader,
                              const ExecuteOptions &options = {}) const {
        return call<Outcome>(braid_execute, chain, block, reader, options);
    }

    /// Imports a block: recovers the senders, which the block must not have, compares the body
    /// with the header, executes the block, and compares the result with the header, whatever
    /// `check_header` is. Not looked at: the state root, and the header against its parent.
    Expected<Imported> import_block(const Chain &chain, const Block &block, const Prestate &state,
                                    const ExecuteOptions &options = {}) const {
        return call<Imported>(braid_import, chain, block, state, options);
    }

    /// As above, on a state that is read through `reader`.
    template <StateReader R>
    Expected<Imported> import_block(const Chain &chain, const Block &block, R &reader,
                                    const ExecuteOptions &options = {}) const {
        return call<Imported>(braid_import, chain, block, reader, options);
    }

    /// Executes a block, and produces its access list (EIP-7928) whatever its fork. Without
    /// commit stream.
    Expected<Outcome> produce_access_list(const Chain &chain, const Block &block,
                                          const Prestate &state,
                                          const ExecuteOptions &options = {}) const {
        return call<Outcome>(braid_produce_access_list, chain, block, state, options);
    }

    /// As above, on a state that is read through `reader`.
    template <StateReader R>
    Expected<Outcome> produce_access_list(const Chain &chain, const Block &block, R &reader,
                                          const ExecuteOptions &options = {}) const {
        return call<Outcome>(braid_produce_access_list, chain, block, reader, options);
    }

    /// As produce_access_list, helped by what is claimed to be the block's list, which the block
    /// must have, and compares the two. A wrong list costs time and changes no result; it is for
    /// the host to say whether a mismatch makes the block invalid.
    Expected<Listed> execute_with_access_list(const Chain &chain, const Block &block,
                                              const Prestate &state,
                                              const ExecuteOptions &options = {}) const {
        return call<Listed>(braid_execute_with_access_list, chain, block, state, options);
    }

    /// As above, on a state that is read through `reader`.
    template <StateReader R>
    Expected<Listed> execute_with_access_list(const Chain &chain, const Block &block, R &reader,
                                              const ExecuteOptions &options = {}) const {
        return call<Listed>(braid_execute_with_access_list, chain, block, reader, options);
    }

    /// Executes consecutive blocks, the first one on this state, each other one on what the blocks
    /// before it leave; with more than one thread they overlap. `each` gets the results in order:
    /// all before the block that Error::block names. There is no commit stream.
    Expected<void> execute_range(const Chain &chain, std::span<const Block> blocks,
                                 const Prestate &state, const RangeCallback &each,
                                 const ExecuteOptions &options = {}) const {
        braid_range_request range = make_range(chain, options);
        range.prestate = state.get();
        detail::Thrown thrown;
        return run_range(range, blocks, each, options, thrown);
    }

    /// As above, on a state that is read through `reader`.
    template <StateReader R>
    Expected<void> execute_range(const Chain &chain, std::span<const Block> blocks, R &reader,
                                 const RangeCallback &each,
                                 const ExecuteOptions &options = {}) const {
        detail::Thrown thrown;
        detail::Calls<R> calls{reader, thrown};
        const braid_reader raw = calls.raw(reader_flags(options));
        braid_range_request range = make_range(chain, options);
        range.reader = &raw;
        return run_range(range, blocks, each, options, thrown);
    }

private:
    /// A function that executes one block.
    using Function = decltype(&braid_execute);

    template <class Result>
    Expected<Result> call(Function function, const Chain &chain, const Block &block,
                          const Prestate &state, const ExecuteOptions &options) const {
        braid_request request = make_request(chain, block, options);
        request.prestate = state.get();
        detail::Thrown thrown;
        return run<Result>(function, request, options, thrown);
    }

    template <class Result, StateReader R>
    Expected<Result> call(Function function, const Chain &chain, const Block &block, R &reader,
                          const ExecuteOptions &options) const {
        detail::Thrown thrown;
        detail::Calls<R> calls{reader, thrown};
        const braid_reader raw = calls.raw(reader_flags(options));
        braid_request request = make_request(chain, block, options);
        request.reader = &raw;
        return run<Result>(function, request, options, thrown);
    }

    static braid_request make_request(const Chain &chain, const Block &block,
                                      const ExecuteOptions &options) {
        braid_request request{};
        request.struct_size = sizeof request;
        request.flags = flags(options);
        request.chain = chain.get();
        request.block = &block.raw();
        request.timeout_ns = timeout(options);
        return request;
    }

    static braid_range_request make_range(const Chain &chain, const ExecuteOptions &options) {
        braid_range_request range{};
        range.struct_size = sizeof range;
        range.flags = flags(options);
        range.chain = chain.get();
        range.timeout_ns = timeout(options);
        return range;
    }

    static std::uint32_t flags(const ExecuteOptions &options) {
        return (options.receipts_rlp ? BRAID_WANT_RECEIPTS_RLP : 0u) |
               (options.check_header ? BRAID_CHECK_HEADER : 0u);
    }

    static std::uint32_t reader_flags(const ExecuteOptions &options) {
        return (options.serial_reader ? BRAID_READER_SERIAL : 0u) |
               (options.slow_reader ? BRAID_READER_SLOW : 0u);
    }

    static std::uint64_t timeout(const ExecuteOptions &options) {
        const auto given = options.timeout.count();
        return given > 0 ? static_cast<std::uint64_t>(given) : 0;
    }

    Expected<void> run_range(braid_range_request &range, std::span<const Block> of,
                             const RangeCallback &each, const ExecuteOptions &options,
                             detail::Thrown &thrown) const {
        if (!each || options.commit) {
            Error error;
            error.status = BRAID_INVALID_ARGUMENT;
            error.message = "a range needs a callback for its blocks, and has no commit stream";
            return error;
        }
        std::vector<const braid_block *> blocks;
        for (const Block &block : of) blocks.push_back(&block.raw());
        detail::Blocks calls{each, thrown};
        range.blocks = blocks.data();
        range.blocks_count = blocks.size();
        range.each = detail::Blocks::each;
        range.each_user = &calls;
        auto done = detail::cancellable<void>(options.stop, [&](const braid_cancel *cancel) {
            range.cancel = cancel;
            return detail::check(
                [&](auto error) { return braid_execute_range(handle_.get(), &range, error); });
        });
        return detail::with_thrown(std::move(done), thrown);
    }

    template <class Result>
    Expected<Result> run(Function function, braid_request &request, const ExecuteOptions &options,
                         detail::Thrown &thrown) const {
        detail::Commits commits{options.commit, thrown};
        if (options.commit) {
            request.commit = detail::Commits::commit;
            request.commit_user = &commits;
        }
        auto result = detail::cancellable<Result>(options.stop, [&](const braid_cancel *cancel) {
            request.cancel = cancel;
            return detail::make<Result, braid_result>([&](auto out, auto error) {
                return function(handle_.get(), &request, out, error);
            });
        });
        return detail::with_thrown(std::move(result), thrown);
    }

    detail::Handle<braid_executor, braid_executor_free> handle_;
};

}  // namespace v0
}  // namespace braid

#endif

//! JSON-RPC over HTTP with bounded retries, and a bound on requests under way.
//!
//! What is retried: no connection, a broken connection, a timeout, HTTP 429 and 5xx, and the error
//! codes by which providers limit rates. What is not: every other answer, since asking again would
//! give it again. A `Retry-After` in seconds is heeded up to [`MAX_PAUSE`].

use serde_json::{Value, json};
use std::{
    fmt,
    panic::resume_unwind,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

/// The largest answer that is read: witnesses of full blocks take some ten megabytes.
const MAX_BYTES: u64 = 1 << 29;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two attempts.
pub const MAX_PAUSE: Duration = Duration::from_secs(10);
/// JSON-RPC: the method does not exist.
const METHOD_NOT_FOUND: i64 = -32_601;
/// EIP-1474: limit exceeded.
const LIMIT_EXCEEDED: i64 = -32_005;

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RpcError {
    /// The client could not be reached, or the connection broke.
    Unreachable(String),
    /// The client answered with an HTTP status that is no success.
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// The answer is not the JSON of a response: HTML, or cut off.
    NotJson {
        /// What the parser says.
        reason: String,
        /// The beginning of the answer.
        body: String,
    },
    /// The client refuses the request.
    Refused {
        /// The JSON-RPC error code.
        code: i64,
        /// The client's words.
        message: String,
    },
    /// The result is `null`: the client does not have it.
    Null,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "the client cannot be reached: {reason}"),
            Self::Status { status, body } => write!(f, "HTTP status {status}: {body}"),
            Self::NotJson { reason, body } => {
                write!(f, "the answer is not a JSON-RPC response ({reason}): {body}")
            }
            Self::Refused { code, message } => write!(f, "error {code}: {message}"),
            Self::Null => f.write_str("the client does not have it"),
        }
    }
}

impl std::error::Error for RpcError {}

impl RpcError {
    /// Whether the client does not know the method, or does not serve it.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::Refused { code: METHOD_NOT_FOUND, .. } => true,
            Self::Refused { message, .. } => {
                let message = message.to_lowercase();
                let phrases = ["method not found", "not supported", "unsupported", "not available"];
                phrases.iter().any(|phrase| message.contains(phrase))
                    || (message.contains("method") && message.contains("does not exist"))
            }
            _ => false,
        }
    }

    /// Whether the client says that it no longer has the state.
    pub fn is_pruned(&self) -> bool {
        let Self::Refused { message, .. } = self else { return false };
        let message = message.to_lowercase();
        let phrases = [
            "missing trie node",
            "pruned",
            "historical state",
            "state is not available",
            "state at",
        ];
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Refused { code, message } => {
                let message = message.to_lowercase();
                matches!(*code, LIMIT_EXCEEDED | 429)
                    || message.contains("rate limit")
                    || message.contains("too many requests")
            }
            Self::NotJson { .. } | Self::Null => false,
        }
    }
}

/// A client at an HTTP endpoint. May be shared by threads.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    retries: u32,
    /// How long an unreachable client is waited for beyond the retries.
    patience: Duration,
    requests: Arc<AtomicU64>,
    /// How many requests may be under way at once.
    connections: usize,
    slots: Arc<Slots>,
}

/// How many more requests may be under way.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One request's place among them.
struct Slot<'s>(&'s Slots);

impl Slots {
    /// Waits until there is one.
    fn take(&self) -> Slot<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.freed.wait_while(free, |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// One attempt's failure, and how long the client asked to wait.
type Failure = (RpcError, Option<Duration>);

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// No more than so many requests are under way at once; others wait.
    pub fn new(url: &str, timeout: Duration, retries: u32, connections: u16) -> Self {
        let connections = usize::from(connections.max(1));
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            url: url.to_owned(),
            retries,
            patience: Duration::ZERO,
            requests: Arc::default(),
            connections,
            slots: Arc::new(Slots { free: Mutex::new(connections), freed: Condvar::new() }),
        }
    }

    /// The same client, but while it cannot be reached each request waits for it this long.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Its endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many HTTP requests were sent, repeated ones included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Calls a method. Blocks for the retries too.
    ///
    /// # Errors
    /// [`RpcError`], the last one where it was retried; [`RpcError::Null`] for a `null`.
    pub fn call(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.retried(|| self.send(&request).and_then(|answer| Ok(result(answer)?)))
    }

    /// Calls several methods in one request; the results are in the order of the calls.
    ///
    /// # Errors
    /// As [`Self::call`]; where one call fails, its error.
    pub fn batch(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, RpcError> {
        let request: Value = calls
            .iter()
            .enumerate()
            .map(|(id, (method, params))| {
                json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
            })
            .collect();
        self.retried(|| Ok(results(self.send(&request)?, calls.len())?))
    }

    /// How many requests may be under way at once.
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// Calls a method once with each of these parameters, several at a time; the results are in
    /// their order.
    ///
    /// # Errors
    /// As [`Self::call`]; where several calls fail, that of the first one in this order.
    pub fn call_each(&self, method: &str, params: &[Value]) -> Result<Vec<Value>, RpcError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(one) = params.get(index) else { return done };
                let result = self.call(method, one);
                if result.is_err() {
                    // What comes before it has been handed out already.
                    next.store(params.len(), Ordering::Relaxed);
                }
                done.push((index, result));
            }
        };
        let mut results = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.connections.min(params.len())).map(|_| scope.spawn(work)).collect();
            let done = threads.into_iter().map(ScopedJoinHandle::join);
            done.flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)))
                .collect::<Vec<_>>()
        });
        results.sort_unstable_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn retried<T>(&self, attempt: impl Fn() -> Result<T, Failure>) -> Result<T, RpcError> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut tried = 0;
        loop {
            let (error, asked) = match attempt() {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };
            let waits =
                matches!(error, RpcError::Unreachable(_)) && start.elapsed() < self.patience;
            if !error.is_transient() || (tried >= self.retries && !waits) {
                return Err(error);
            }
            thread::sleep(asked.unwrap_or(pause).min(MAX_PAUSE));
            pause = (pause * 2).min(MAX_PAUSE);
            tried += 1;
        }
    }

    fn send(&self, request: &Value) -> Result<Value, Failure> {
        let _slot = self.slots.take();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let unreachable = |error: ureq::Error| (RpcError::Unreachable(error.to_string()), None);
        let mut response = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(request.to_string())
            .map_err(unreachable)?;
        let status = response.status().as_u16();
        let asked = response.headers().get("retry-after");
        let asked = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
        let body = body.map_err(unreachable)?;
        match serde_json::from_slice(&body) {
            // Some clients put errors of JSON-RPC under an HTTP error.
            Ok(answer @ (Value::Object(_) | Value::Array(_))) if status != 429 => Ok(answer),
            _ if !(200..300).contains(&status) => {
                let error = RpcError::Status { status, body: beginning(&body) };
                Err((error, asked.map(Duration::from_secs)))
            }
            Ok(_) => Err((not_json("neither an object nor a list", &body), None)),
            Err(error) => Err((not_json(&error.to_string(), &body), None)),
        }
    }
}

fn not_json(reason: &str, body: &[u8]) -> RpcError {
    RpcError::NotJson { reason: reason.to_owned(), body: beginning(body) }
}

/// The first words of an answer, for error messages.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(120).collect()
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        (error, None)
    }
}

/// The result in one response.
fn result(mut answer: Value) -> Result<Value, RpcError> {
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let message = error.get("message").and_then(Value::as_str).unwrap_or("no message");
        return Err(RpcError::Refused { code, message: message.to_owned() });
    }
    match answer.get_mut("result").map(Value::take) {
        Some(Value::Null) => Err(RpcError::Null),
        Some(result) => Ok(result),
        None => Err(not_json("neither `result` nor `error`", answer.to_string().as_bytes())),
    }
}

/// The results of a batch, by the identifiers of its calls.
fn results(answer: Value, count: usize) -> Result<Vec<Value>, RpcError> {
    let Value::Array(answers) = answer else {
        // The whole batch was refused.
        return Err(match result(answer) {
            Err(error) => error,
            Ok(value) => not_json("no list of results", value.to_string().as_bytes()),
        });
    };
    let mut results = vec![None; count];
    for answer in answers {
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok());
        if let Some(place) = id.and_then(|id| results.get_mut(id)) {
            *place = Some(result(answer)?);
        }
    }
    let missing = || not_json("a result of the batch is missing", b"");
    results.into_iter().map(|result| result.ok_or_else(missing)).collect()
}

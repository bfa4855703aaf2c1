# What CI runs, and what it leaves to longer runs.

# Format, lints, documentation.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
    cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
    cargo clippy --manifest-path tests/fuzz/Cargo.toml --no-default-features -- -D warnings

# All tests, on real data where there is any.
test:
    cargo test --release --workspace

# Random programs on the scheduler, for longer.
sim cases="100000":
    PROPTEST_CASES={{cases}} cargo test --release -p weft-scheduler --test programs

# The kernel under model checkers: small scenes and whole blocks. A failure of a block prints its schedule.
models executions="10000" seed="0":
    RUSTFLAGS="--cfg loom" cargo test --profile models -p weft-scheduler --lib --target-dir target/models models:: -- --skip bugs::
    RUSTFLAGS="--cfg shuttle" WEFT_EXECUTIONS={{executions}} WEFT_SEED={{seed}} cargo test --profile models -p weft-scheduler --lib --target-dir target/models models:: -- --skip bugs::

# The same with bugs planted in the kernel, one at a time: each has to be found within a minute.
bugs:
    RUSTFLAGS="--cfg loom" RUST_BACKTRACE=0 cargo test --profile models -p weft-scheduler --lib --target-dir target/models bugs:: -- --show-output
    RUSTFLAGS="--cfg shuttle" RUST_BACKTRACE=0 cargo test --profile models -p weft-scheduler --lib --target-dir target/models bugs:: -- --show-output

# A schedule that shuttle has printed, once more.
replay schedule:
    RUSTFLAGS="--cfg shuttle" WEFT_SCHEDULE='{{schedule}}' cargo test --profile models -p weft-scheduler --lib --target-dir target/models models::blocks::replay -- --ignored

# The kernel's tests under ThreadSanitizer.
tsan:
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" TSAN_OPTIONS="suppressions=$PWD/.ci/tsan.suppressions" cargo test -p weft-scheduler --lib --tests --target x86_64-unknown-linux-gnu --target-dir target/tsan -- --test-threads 1

# Blocks made up from seeds, for longer; the seeds go on from `seed`.
fuzz seconds="3600" seed="0":
    cargo run --release -p weft-cli -- fuzz --seed {{seed}} --time {{seconds}}s

# Made-up tries, changes and witnesses against alloy's and eth_trie's tries, for longer. The seeds go on from `seed`.
fuzz-trie cases="1000000" seed="0":
    FUZZ_CASES={{cases}} FUZZ_SEED={{seed}} cargo test --release -p weft-trie --test suite fuzz

# Signatures in lanes against libsecp256k1: random ones, and a fifth as many with something special about them; then
# with every assertion. The rounds go on from `seed`.
recover cases="10000000" seed="0":
    RECOVER_CASES={{cases}} RECOVER_SEED={{seed}} cargo test --release -p weft-recover --test differential
    cargo test -p weft-recover

# Inputs made up byte by byte, led by what they cover, for `recover`, `keccak` or `witness`; with every assertion, and
# under AddressSanitizer. What has been found stays in tests/fuzz/corpus. Needs `cargo install cargo-fuzz` and a C++ compiler.
fuzz-target name="recover" seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz {{name}} -- -len_control=0 -max_len=4096 -max_total_time={{seconds}}

# What recovery takes, by batch size.
bench-recover:
    cargo run --release -p weft-recover --example measure

# Side by side with the ethrex stateless path.
bench files="../shared/data/witness/*.json":
    cargo build --release -p weft-cli
    cd benches/ethrex && cargo run --release --bin compare -- --weft ../../target/release/weft --warm-up {{files}}

# Blocks on revm alone and on Weft, in one process.
bench-blocks filter=".":
    cargo run --release -p weft-benches --bin block -- --filter '{{filter}}'

# The simulator's prediction for two cores against two threads; wants a machine that does nothing else.
calibrate filter="^(raw|erc20|swap|sweep|mainnet)/" rounds="30":
    cargo run --release -p weft-benches --bin simulate -- --threads 2 --calibrate {{rounds}} --filter '{{filter}}'

# Blocks on more cores than there are.
simulate filter="." threads="2,8,32":
    cargo run --release -p weft-benches --bin simulate -- --threads {{threads}} --filter '{{filter}}'

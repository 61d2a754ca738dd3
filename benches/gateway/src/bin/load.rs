//! Holds thousands of sockets in one thread; commands come by standard input (see `talk`).

fn main() -> anyhow::Result<()> {
    homing_gateway_bench::client::run()
}

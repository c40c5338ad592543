//! The command line: serve (default) | demo | migrate | forget-guest | schema | configuration | token |
//! sandbox.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rand::{SeedableRng as _, rngs::StdRng};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    access::{self, Role},
    app::{self, Outside, Running},
    clock::Clock,
    config::{self, Config, WELL_KNOWN_SECRET},
    feed::Feed,
    graphql,
    reservations::forget,
    sandbox::{self, GuestApi, GuestApiSettings, Limit, Source, SourceSettings},
    telemetry::traces,
};

/// Live reservations and guest messages, between a booking source and the people who look after guests.
///
/// `besty serve` is configured by environment variables; see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(name = "besty", version = env!("BESTY_VERSION"))]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Run the server with a stand-in Guest API and a stream of bookings, on a database of its own
    Demo,
    /// Apply the database migrations, and do nothing else
    Migrate {
        /// Then give the change log another name, after a restore from a backup: cursors made before are refused
        #[arg(long)]
        new_epoch: bool,
    },
    /// Delete what is known of a guest; the reservations stay
    ForgetGuest {
        /// The booking source's identifier
        guest_id: String,
    },
    /// Print the GraphQL schema
    Schema,
    /// Print what the environment variables are, as docs/configuration.md
    Configuration,
    /// Manage the tokens of TOKENS_FILE
    #[command(subcommand)]
    Token(TokenCommand),
    /// Run a stand-in Guest API that posts bookings to every webhook URL that registers with it
    Sandbox(SandboxArgs),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, print it once, and add its hash to TOKENS_FILE. A server that runs takes it from then on
    Create {
        /// What it allows: viewer (reads, subscriptions), sender (broadcasts too), admin (webhooks too)
        #[arg(long, value_parser = role)]
        role: Role,
        /// Whose it is
        #[arg(long)]
        name: String,
        /// The file; it is made if it is not there
        #[arg(long, env = "TOKENS_FILE")]
        tokens_file: PathBuf,
    },
}

fn role(name: &str) -> Result<Role, &'static str> {
    Role::parse(name).ok_or("must be viewer, sender or admin")
}

#[derive(Debug, clap::Args)]
struct SandboxArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3001")]
    listen: SocketAddr,
    /// The secret that webhooks carry; of several, separated by commas, the first
    #[arg(long, env = "WEBHOOK_SECRET", default_value = WELL_KNOWN_SECRET, hide_env_values = true)]
    webhook_secret: String,
    /// Calls a second that are let through
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Calls at once that are let through
    #[arg(long, default_value_t = 10)]
    burst: u32,
    /// Bookings a second
    #[arg(long, default_value_t = 2.0)]
    events: f64,
}

/// Runs the command.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config_from_env()?).await,
        Command::Demo => demo(config_from_env()?).await,
        Command::Migrate { new_epoch } => migrate(new_epoch).await,
        Command::ForgetGuest { guest_id } => forget_guest(&guest_id).await,
        Command::Schema => {
            print!("{}", graphql::sdl());
            Ok(())
        }
        Command::Configuration => {
            print!("{}", config::document::markdown());
            Ok(())
        }
        Command::Token(TokenCommand::Create { role, name, tokens_file }) => {
            let mut rng = StdRng::from_rng(&mut rand::rng());
            let token = access::tokens::create(&tokens_file, &name, role, &mut rng)?;
            println!("{}", token.expose_secret());
            Ok(())
        }
        Command::Sandbox(args) => run_sandbox(args).await,
    }
}

async fn migrate(new_epoch: bool) -> anyhow::Result<()> {
    let db = app::open_database(&config_from_env()?).await?;
    println!("The database is up to date.");
    if new_epoch {
        Feed::open(db.clone(), rand::random()).await?.rename(rand::random()).await?;
        println!("The change log has another name. Servers take it up when they are started again.");
    }
    Ok(db.close().await?)
}

async fn forget_guest(guest_id: &str) -> anyhow::Result<()> {
    let db = app::open_database(&config_from_env()?).await?;
    let feed = Feed::open(db.clone(), rand::random()).await?;
    let forgotten = forget::forget_guest(&feed, guest_id, Clock::system().now()).await?;
    println!(
        "Emptied: {} reservations, {} changes. Deleted: {} rejected webhooks.",
        forgotten.reservations, forgotten.changes, forgotten.rejected
    );
    Ok(db.close().await?)
}

fn config_from_env() -> anyhow::Result<Config> {
    // A variable that is not valid UTF-8 must not pass for one that is not set.
    let lookup = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    Ok(Config::from_lookup(lookup)?)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let http = app::http_client()?;
    traces::start(|name| std::env::var(name).ok(), http.clone())?;
    let served = serve_until_signal(config, http).await;
    traces::stop().await;
    served
}

async fn serve_until_signal(config: Config, http: reqwest::Client) -> anyhow::Result<()> {
    let listener = listen(config.listen).await?;
    let mut signal = std::pin::pin!(wait_for_signal());
    let Some(running) = app::start_unless(&config, listener, outside(http), &mut signal).await? else {
        return Ok(());
    };
    signal.await?;
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("HOST, PORT: {address} can't be listened on"))
}

fn outside(http: reqwest::Client) -> Outside {
    Outside { clock: Clock::system(), rng: Box::new(StdRng::from_rng(&mut rand::rng())), http }
}

/// Server and sandbox in one process, on a database that is thrown away.
async fn demo(mut config: Config) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder for the demo's database")?;
    let listener = listen(config.listen).await?;
    let sandbox_listener = TcpListener::bind("127.0.0.1:0").await?;
    let database = folder.path().join("demo.db");
    config.database.url = format!("sqlite://{}?mode=rwc", database.display()).into();
    config.spool_path = folder.path().join("spool.db");
    config.guest_api_base_url = format!("http://{}", sandbox_listener.local_addr()?);
    config.public_webhook_url = Some(format!("http://{}/webhooks", reachable(listener.local_addr()?)));

    let running = app::start(&config, listener, outside(app::http_client()?)).await?;
    let cancel = CancellationToken::new();
    let secret = config.webhook_secrets[0].expose_secret().to_owned();
    let other_side = tokio::spawn(play(
        sandbox_listener,
        GuestApi::default(),
        SourceSettings::default(),
        secret,
        cancel.clone(),
    ));
    greet(&running);
    wait_for_signal().await?;
    cancel.cancel();
    running.stop().await;
    other_side.await?
}

/// An address that this machine can connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

fn greet(running: &Running) {
    let base = format!("http://{}", reachable(running.addr()));
    println!(
        "Besty is running with made-up bookings. Nothing is kept, nobody is written to.\n\n  \
         Dashboard    {base}/\n  \
         Playground   {base}/playground\n  \
         Rows         curl '{base}/api/reservations?limit=3'\n  \
         Live         curl -N {base}/api/events\n  \
         GraphQL      curl {base}/graphql -H 'content-type: application/json' \\\n                 \
         -d '{{\"query\":\"{{reservations(first: 3) {{totalCount nodes {{reservationId status checkIn}}}}}}\"}}'\n\n\
         Ctrl-C stops it."
    );
}

async fn run_sandbox(args: SandboxArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.rate > 0.0 && args.rate.is_finite(), "--rate: must be greater than 0");
    anyhow::ensure!(args.burst > 0, "--burst: must be greater than 0");
    anyhow::ensure!(args.events > 0.0 && args.events.is_finite(), "--events: must be greater than 0");
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("--listen: {} can't be listened on", args.listen))?;
    let limit = Some(Limit { per_second: args.rate, burst: args.burst });
    let api = GuestApi::new(GuestApiSettings { limit, ..GuestApiSettings::default() });
    let settings = SourceSettings { rate: Some(args.events), ..SourceSettings::default() };
    let secret = args.webhook_secret.split(',').map(str::trim).find(|secret| !secret.is_empty());
    let secret = secret.context("WEBHOOK_SECRET: holds no secret")?.to_owned();
    tracing::info!(address = %args.listen, "the stand-in Guest API listens");
    let cancel = CancellationToken::new();
    let playing = tokio::spawn(play(listener, api, settings, secret, cancel.clone()));
    wait_for_signal().await?;
    cancel.cancel();
    playing.await?
}

/// The other side: serves the Guest API and posts bookings, until cancelled.
async fn play(
    listener: TcpListener,
    api: GuestApi,
    settings: SourceSettings,
    secret: String,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let clock = Clock::system();
    let source = Source::new(settings, secret, app::http_client()?, api.registry().clone());
    let rng = StdRng::from_rng(&mut rand::rng());
    let (served, _) = tokio::join!(
        sandbox::serve(listener, api, cancel.clone()),
        source.run_live(move || clock.now(), rng, &cancel),
    );
    Ok(served?)
}

/// Until Ctrl-C or SIGTERM. A second one does not wait for anything.
async fn wait_for_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("stopping at once");
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::process::exit(130);
    });
    Ok(())
}

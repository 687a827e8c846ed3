//! The operations of the admin interface: one table that server, client and daemon share.
//!
//! Owns path, method, role and audit name of each. A plain operation takes one request and gives one answer, both typed in
//! [`super::api`]; a GET takes its request from the query, everything else from a JSON body. Operations that stream are listed
//! below the table in [`Daemon`]. Never does any operation itself.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use serde::{Serialize, de::DeserializeOwned};

use super::api::*;
use super::problem::Problem;
use super::roles::Role;

/// The future of an answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;
/// A stream of typed lines. A problem in it is its last item.
pub type Lines<T> = Pin<Box<dyn Stream<Item = Result<T, Problem>> + Send>>;
/// The bytes of an upload, already bounded by the server.
pub type Upload = Pin<Box<dyn Stream<Item = Result<Bytes, Problem>> + Send>>;

/// The bytes of a file.
pub struct Download {
    /// Size in bytes; the stream yields exactly so many or ends with an error.
    pub size: u64,
    /// Media type.
    pub media_type: String,
    /// The bytes, verified while they are read.
    pub bytes: Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>,
}

/// HTTP method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads; the request is the query.
    Get,
    /// Everything else; the request is the body.
    Post,
}

/// A plain operation.
pub trait Call: Send + Sync + 'static {
    /// What it takes.
    type Request: Serialize + DeserializeOwned + Send + Sync;
    /// What it gives.
    type Answer: Serialize + DeserializeOwned + Send;
    /// How it is called.
    const METHOD: Method;
    /// Where.
    const PATH: &'static str;
    /// Who may.
    const ROLE: Role;
    /// Its name in the audit, if it changes anything.
    const CHANGE: Option<&'static str>;
    /// Hands it to the daemon.
    fn run(daemon: &dyn Daemon, request: Self::Request) -> Answer<'_, Self::Answer>;
}

/// Hands the table of plain operations to another macro: `method Name METHOD path Role [change] Request => Answer`.
macro_rules! with_operations {
    ($then:ident) => {
        $then! {
            /// Everything about the node on one screen.
            status Status Get "/v1/status" Read [] Scope => Status;
            /// Which releases are missing, why, from whom.
            sync_status SyncStatus Get "/v1/sync" Read [] SyncStatusRequest => SyncStatus;
            /// Asks peers now instead of at the next interval.
            sync_now SyncNow Post "/v1/sync/now" Operate ["sync.now"] SyncNowRequest => SyncStarted;
            /// All federations of this node.
            federation_list FederationList Get "/v1/federations" Read [] Scope => FederationList;
            /// One federation by its newest charter.
            federation_show FederationShow Get "/v1/federations/show" Read [] Scope => FederationView;
            /// The charters of a federation.
            federation_log FederationLog Get "/v1/federations/log" Read [] Scope => CharterLog;
            /// Founds a federation.
            federation_create FederationCreate Post "/v1/federations" Approve ["federation.create"]
                FederationCreateRequest => FederationView;
            /// Makes a ticket.
            invite Invite Post "/v1/invitations" Operate ["invite"] InviteRequest => Invitation;
            /// Uses a ticket: returns once the other node's key is proved and the request is lodged or refused there.
            peer_add PeerAdd Post "/v1/peers" Approve ["peer.add"] PeerAddRequest => Joining;
            /// All peers.
            peer_list PeerList Get "/v1/peers" Read [] Scope => PeerList;
            /// One peer.
            peer_show PeerShow Get "/v1/peers/show" Read [] PeerRequest => PeerView;
            /// Measures the round trip over a connection with a proved key.
            peer_ping PeerPing Post "/v1/peers/ping" Operate [] PeerRequest => Pong;
            /// Stops exchanging with a peer until resumed; connections to it are closed.
            peer_pause PeerPause Post "/v1/peers/pause" Operate ["peer.pause"] PeerRequest => Done;
            /// Ends a pause.
            peer_resume PeerResume Post "/v1/peers/resume" Operate ["peer.resume"] PeerRequest => Done;
            /// Refuses a peer, and what it holds, until unblocked.
            peer_block PeerBlock Post "/v1/peers/block" Operate ["peer.block"] PeerRequest => Done;
            /// Ends a block.
            peer_unblock PeerUnblock Post "/v1/peers/unblock" Operate ["peer.unblock"] PeerRequest => Done;
            /// Forgets addresses and notes of a peer; a member's own statements bring it back.
            peer_remove PeerRemove Post "/v1/peers/remove" Operate ["peer.remove"] PeerRequest => Done;
            /// Open admissions, expulsions and amendments.
            member_requests MemberRequests Get "/v1/members/requests" Read [] Scope => MemberRequests;
            /// All members.
            member_list MemberList Get "/v1/members" Read [] Scope => MemberList;
            /// One member.
            member_show MemberShow Get "/v1/members/show" Read [] MemberRequest => MemberView;
            /// Approves an admission for this member.
            member_admit MemberAdmit Post "/v1/members/admit" Approve ["member.admit"] AdmitRequest => Decision;
            /// Refuses a request; the newcomer sees the reason.
            member_reject MemberReject Post "/v1/members/reject" Approve ["member.reject"] DismissRequest => Decision;
            /// Approves an expulsion for this member.
            member_expel MemberExpel Post "/v1/members/expel" Approve ["member.expel"] DismissRequest => Decision;
            /// Completes and checks a release without publishing it; files need not be uploaded.
            release_check ReleaseCheck Post "/v1/releases/check" Publish [] ReleaseRequest => ReleaseChecked;
            /// Signs and publishes a release whose files are uploaded; durable when answered.
            release_create ReleaseCreate Post "/v1/releases" Publish ["release.publish"] ReleaseRequest => ReleaseCreated;
            /// Withdraws a release; durable when answered.
            release_withdraw ReleaseWithdraw Post "/v1/releases/withdraw" Publish ["release.withdraw"]
                WithdrawRequest => Withdrawn;
            /// Processes, by text and owner.
            process_list ProcessList Get "/v1/processes" Read [] ProcessListRequest => ProcessList;
            /// Versions of a process.
            process_versions ProcessVersions Get "/v1/processes/versions" Read [] ProcessRequest => VersionList;
            /// A release with its files.
            release_show ReleaseShow Get "/v1/releases/show" Read [] ReleaseQuery => ReleaseView;
            /// The newest events.
            event_list EventList Get "/v1/events" Read [] EventsRequest => EventList;
            /// The newest audit records.
            audit_list AuditList Get "/v1/audit" Operate [] AuditRequest => AuditList;
            /// Makes a token for an IT system.
            token_create TokenCreate Post "/v1/tokens" Operate ["token.create"] TokenCreateRequest => TokenCreated;
            /// All tokens, without secrets.
            token_list TokenList Get "/v1/tokens" Operate [] Scope => TokenList;
            /// Revokes a token at once.
            token_revoke TokenRevoke Post "/v1/tokens/revoke" Operate ["token.revoke"] TokenRequest => Done;
            /// Effective configuration with the origin of each value.
            config_show ConfigShow Get "/v1/config" Read [] Scope => ConfigShow;
            /// Ends recovery by decision of an operator.
            recover Recover Post "/v1/recover" Approve ["recover.sign-anyway"] RecoverRequest => Done;
            /// Where the space goes.
            store_df StoreDf Get "/v1/store" Read [] Scope => StoreDf;
            /// State of the running or last scrub.
            store_scrub_show StoreScrubShow Get "/v1/store/scrub" Read [] Scope => Scrub;
            /// Starts comparing artifacts with their hashes; returns at once.
            store_scrub StoreScrub Post "/v1/store/scrub" Operate ["store.scrub"] ScrubRequest => Scrub;
            /// Deletes artifacts that nothing refers to.
            store_gc StoreGc Post "/v1/store/gc" Operate ["store.gc"] GcRequest => Gc;
        }
    };
}
pub(crate) use with_operations;

macro_rules! change {
    () => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

macro_rules! define {
    ($($(#[$meta:meta])* $method:ident $name:ident $verb:ident $path:literal $role:ident [$($change:literal)?] $request:ty => $answer:ty;)*) => {
        /// What the daemon does for its callers. Checks of role and form are done when a method is called, and the audit
        /// record of a change is written by the server afterwards, through [`Daemon::audit`].
        ///
        /// Methods must be cancel-safe where they only read. Those that change something run to their end even if the caller
        /// goes away.
        pub trait Daemon: Send + Sync + 'static {
            $($(#[$meta])* fn $method(&self, request: $request) -> Answer<'_, $answer>;)*

            /// Stores the bytes of an upload as an artifact: durable and hashed when answered. It is garbage unless a release
            /// soon refers to it, so it is not audited by itself.
            fn artifact_put(&self, bytes: Upload) -> Answer<'_, Artifact>;
            /// A file of a release, complete and verified.
            fn file_get(&self, request: FileQuery) -> Answer<'_, Download>;
            /// `provenance.json` of a release.
            fn provenance_get(&self, request: ReleaseQuery) -> Answer<'_, Bytes>;
            /// The steps of a release so far and to come; ends after [`Tick::Complete`].
            fn release_progress(&self, request: ProgressRequest) -> Answer<'_, Lines<Tick>>;
            /// The steps of a join; ends when it is refused, or admitted and connected to all.
            fn join_progress(&self, request: JoinProgressRequest) -> Answer<'_, Lines<Joining>>;
            /// Events as they happen.
            fn events_follow(&self, request: EventsRequest) -> Answer<'_, Lines<Event>>;
            /// Makes an audit record durable.
            fn audit(&self, record: AuditRecord) -> Answer<'_, ()>;
        }

        /// The plain operations by the names of their methods in [`Daemon`], with method and path.
        pub const OPERATIONS: &[(&str, Method, &str)] = &[$((stringify!($method), Method::$verb, $path),)*];

        /// The plain operations as types, for generic code.
        pub mod op {
            $($(#[$meta])* pub struct $name;)*
        }

        $(impl Call for op::$name {
            type Request = $request;
            type Answer = $answer;
            const METHOD: Method = Method::$verb;
            const PATH: &'static str = $path;
            const ROLE: Role = Role::$role;
            const CHANGE: Option<&'static str> = change!($($change)?);
            fn run(daemon: &dyn Daemon, request: $request) -> Answer<'_, $answer> {
                daemon.$method(request)
            }
        })*
    };
}
with_operations!(define);

/// Paths of the operations that stream.
pub mod paths {
    /// `PUT`, body: the bytes; answer: an artifact.
    pub const ARTIFACTS: &str = "/v1/artifacts";
    /// `GET ?release=&path=`: the bytes of a file.
    pub const FILES: &str = "/v1/releases/file";
    /// `GET ?release=`: `provenance.json`.
    pub const PROVENANCE: &str = "/v1/releases/provenance";
    /// `GET ?release=`: NDJSON of ticks.
    pub const PROGRESS: &str = "/v1/releases/progress";
    /// `GET`: NDJSON of joins.
    pub const JOIN: &str = "/v1/peers/join";
    /// `GET ?after=&code=`: NDJSON of events.
    pub const EVENTS: &str = "/v1/events/follow";
}

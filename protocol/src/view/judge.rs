//! The judgement of log entries: by what precedes them in their own log, never by what arrived when.
//!
//! Owns the rules of authority. An entry that breaks one is kept and marked void with the reason; it never stops the log.

use super::ahead::Ahead;
use super::charters::{self, Charters};
use super::facts;
use super::moved;
use super::overlay::Overlay;
use super::rows::{Rows, RowsError, Table};
use super::stake;
use super::state::{self, LogRow, Place, Verdict, key};
use super::statements;
use crate::charter::certificate::Certified;
use crate::charter::rules::Charter;
use crate::documents::{
    Adoption, Advisory, Correction, Deprecation, Document, Kind, Leave, Request, Transfer, Withdrawal, Writer,
};
use crate::envelope::Envelope;
use crate::identity::{Identity, VerifiedIdentity};
use crate::ids::{FederationId, MemberId, PeerId, Sha256, Slug};
use crate::release::ProcessRef;

/// The first entries of a log, which give it its authority: identity, writer, charter.
pub const PREAMBLE: u64 = 3;

/// Judges entries of one log in order.
pub struct Judge<'a, 'b> {
    /// Rows, to which the effects go.
    pub rows: &'a mut Overlay<'b>,
    /// Charters that are certified.
    pub charters: &'a Charters,
    /// Entries that were read before their turn.
    pub ahead: Option<&'a Ahead>,
    /// The log.
    pub log: PeerId,
    /// Its row; the judged end moves as entries are judged.
    pub row: &'a mut LogRow,
}

/// Why an entry is void, in words that its publisher sees.
type Refusal = String;

/// The owner of a log, its identity and the charter, at one point of the log.
type Authority = (MemberId, VerifiedIdentity, std::sync::Arc<Certified>);

/// `Ok(Err(…))` is a void entry, `Err(…)` a fault of this node.
type Judged = Result<Result<Verdict, Refusal>, RowsError>;

fn void(why: impl Into<String>) -> Judged {
    Ok(Err(why.into()))
}

impl Judge<'_, '_> {
    /// Judges the first three entries together.
    ///
    /// Returns `None` if they rest on a charter that is not known yet.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn preamble(&mut self, leaves: [&[u8]; 3]) -> Result<Option<[Verdict; 3]>, RowsError> {
        let all = |verdict: Verdict| Ok(Some([verdict.clone(), verdict.clone(), verdict]));
        let orphan = |judge: &mut Self, why: &str| {
            judge.row.orphan = true;
            all(Verdict::Void(format!("the log does not start as it must: {why}")))
        };
        let envelopes: Result<Vec<_>, _> = leaves.iter().map(|leaf| Envelope::parse(leaf)).collect();
        let Ok(envelopes) = envelopes else { return orphan(self, "not envelopes") };
        let [identity, writer, charter] = envelopes.as_slice() else { return orphan(self, "not three") };
        let kinds = [Kind::of(identity), Kind::of(writer), Kind::of(charter)];
        if kinds != [Kind::Identity, Kind::Writer, Kind::Charter] {
            return orphan(self, "identity, writer and charter are needed, in this order");
        }
        let Ok(content) = Charter::parse(charter.payload()) else { return orphan(self, "the charter is malformed") };
        let Some(certified) = self.charters.get(self.rows, content.version)? else { return Ok(None) };
        if certified.hash != charter.id() {
            return orphan(self, "the charter is not the certified one of its version");
        }
        let found = certified.writers.iter().find(|(_, w)| w.hash == writer.id() && w.writer.peer == self.log);
        let Some((member, _)) = found else {
            return orphan(self, "the charter does not name this log's node as a writer");
        };
        let Some(id) = certified.identities.get(member).filter(|i| i.hash == identity.id()) else {
            return orphan(self, "the identity is not the one that the charter pins");
        };
        let seq = certified.writers.get(member).map_or(0, |w| w.writer.seq);
        self.row.owner = Some(*member);
        self.row.seq = seq;
        self.row.identity = Some(id.hash);
        self.row.charter = content.version;
        self.stands(id);
        self.rows.store(Table::Logs, key::charter_from(&self.log, 2), &content.version)?;
        all(Verdict::Valid)
    }

    /// Judges the entry at `index` (3 or higher).
    ///
    /// Returns `None` if it rests on a charter that is not known yet.
    ///
    /// # Errors
    /// [`RowsError`] if the view fails.
    pub fn entry(&mut self, index: u64, leaf: &[u8]) -> Result<Option<Verdict>, RowsError> {
        if self.row.orphan {
            return Ok(Some(Verdict::Void("the log does not start as it must".into())));
        }
        if self.row.final_end().is_some_and(|end| index >= end && !crate::seeded::bug("judge_beyond_end")) {
            return Ok(Some(Verdict::Void("it lies beyond the end of its log".into())));
        }
        let prepared = self.ahead.and_then(|ahead| ahead.take(leaf));
        let envelope = match prepared.map_or_else(|| Envelope::parse(leaf), Ok) {
            Ok(envelope) => envelope,
            Err(e) => return Ok(Some(Verdict::Void(e.to_string()))),
        };
        if Kind::of(&envelope) == Kind::Charter {
            return self.charter(index, &envelope);
        }
        let judged = match Kind::of(&envelope) {
            Kind::Identity => self.identity(&envelope)?,
            Kind::Writer => self.writer(&envelope)?,
            Kind::Request => self.request(&envelope)?,
            Kind::Release => self.release(index, &envelope)?,
            Kind::Withdrawal => self.withdrawal(index, &envelope)?,
            Kind::Correction | Kind::Deprecation => self.about_own(index, &envelope)?,
            Kind::Transfer => self.transfer(index, &envelope)?,
            Kind::Adoption | Kind::Advisory => self.by_approver(index, &envelope)?,
            Kind::Leave => self.leave(index, &envelope)?,
            Kind::NodeInfo | Kind::Approval | Kind::Ordering | Kind::Charter | Kind::Unknown => Ok(Verdict::Kept),
        };
        Ok(Some(judged.unwrap_or_else(Verdict::Void)))
    }

    /// The owner, its identity and the charter at this point of the log; or why nobody has authority here.
    fn authority(&self) -> Result<Result<Authority, Refusal>, RowsError> {
        let (Some(owner), Some(hash)) = (self.row.owner, self.row.identity) else {
            return Ok(Err("the log has no owner".into()));
        };
        let newest = crate::seeded::bug("judge_by_newest_charter");
        let charter =
            if newest { self.charters.newest(self.rows)? } else { self.charters.get(self.rows, self.row.charter)? };
        let charter = charter.ok_or_else(|| RowsError(format!("charter {} is missing", self.row.charter)))?;
        if charter.charter.member(&owner).is_none() {
            return Ok(Err(format!("its owner is no member as of charter {}", self.row.charter)));
        }
        // Mostly the one that the charter pins, which is read already: entries are many, and each is judged by it.
        let newest =
            if crate::seeded::bug("judge_by_newest_identity") { self.charters.newest(self.rows)? } else { None };
        let pinned = newest.as_ref().unwrap_or(&charter).identities.get(&owner);
        let pinned = pinned.filter(|pinned| pinned.hash == hash || newest.is_some()).cloned();
        let identity = match pinned {
            Some(identity) => Some(identity),
            None => charters::identity(self.rows, &hash)?,
        };
        Ok(Ok((owner, identity.ok_or_else(|| RowsError(format!("identity {hash} is missing")))?, charter)))
    }

    fn charter(&mut self, index: u64, envelope: &Envelope) -> Result<Option<Verdict>, RowsError> {
        let content = match Charter::parse(envelope.payload()) {
            Ok(content) => content,
            Err(e) => return Ok(Some(Verdict::Void(e.to_string()))),
        };
        // Told without the charter itself, so that a version that will never be does not hold up the log.
        if content.version > self.row.charter + 1 {
            return Ok(Some(Verdict::Void(format!("charter {} is skipped", self.row.charter + 1))));
        }
        let Some(certified) = self.charters.get(self.rows, content.version)? else { return Ok(None) };
        if certified.hash != envelope.id() {
            return Ok(Some(Verdict::Void("not the certified charter of its version".into())));
        }
        if content.version <= self.row.charter {
            return Ok(Some(Verdict::Kept));
        }
        self.rows.store(Table::Logs, key::charter_from(&self.log, index), &content.version)?;
        self.row.charter = content.version;
        self.pinned(&certified)?;
        Ok(Some(Verdict::Valid))
    }

    /// A charter that pins a newer identity of the owner says so from here on, also if the log does not carry it: keys that were
    /// taken away cannot be kept in use by leaving it out.
    fn pinned(&mut self, certified: &Certified) -> Result<(), RowsError> {
        let Some(pinned) = self.row.owner.and_then(|owner| certified.identities.get(&owner)) else { return Ok(()) };
        let held = self.row.identity.map(|hash| charters::identity(self.rows, &hash)).transpose()?.flatten();
        if held.is_none_or(|held| held.identity.version < pinned.identity.version) {
            self.row.identity = Some(pinned.hash);
            self.stands(pinned);
        }
        Ok(())
    }

    fn identity(&mut self, envelope: &Envelope) -> Judged {
        let parsed = match Identity::parse(envelope) {
            Ok(parsed) => parsed,
            Err(e) => return void(e.to_string()),
        };
        let own = self.row.owner == Some(parsed.member_id(envelope.id()));
        let before = match parsed.prev {
            Some(prev) => self.standing_identity(&prev)?,
            None => None,
        };
        let checked = match &before {
            Some(before) => before.next(envelope),
            None => VerifiedIdentity::first(envelope),
        };
        let checked = match checked {
            Ok(checked) => checked,
            Err(e) => return void(e.to_string()),
        };
        if let Some(before) = &before {
            self.rows.put(Table::Documents, key::follower(&before.hash, &checked.hash), Vec::new());
        }
        let follows = before.is_some_and(|b| Some(b.hash) == self.row.identity);
        self.rows.put(Table::Documents, key::identity(&checked.hash), envelope.bytes().to_vec());
        self.stands(&checked);
        if own && follows {
            self.row.identity = Some(checked.hash);
            return Ok(Ok(Verdict::Valid));
        }
        Ok(Ok(Verdict::Kept))
    }

    /// Notes that an identity stands in this log.
    fn stands(&mut self, identity: &VerifiedIdentity) {
        self.rows.put(Table::Documents, key::stands(&self.log, &identity.hash), Vec::new());
        let newest = key::newest_of(&self.log, &identity.member);
        self.rows.put(Table::Documents, newest, identity.hash.as_bytes().to_vec());
    }

    /// An identity that stands below in this log, or is pinned by the charter at this point of it. What other logs hold does not
    /// count, since they may not have arrived.
    fn standing_identity(&self, hash: &Sha256) -> Result<Option<VerifiedIdentity>, RowsError> {
        let pinned = self.charters.get(self.rows, self.row.charter)?;
        let pinned = pinned.is_some_and(|c| c.identities.values().any(|i| i.hash == *hash));
        if pinned || self.rows.get(Table::Documents, &key::stands(&self.log, hash))?.is_some() {
            return charters::identity(self.rows, hash);
        }
        Ok(None)
    }

    /// A copy of a writer: of a newcomer, or of a member that changes its node. Counts through charters only. It is kept under its
    /// hash for all, so nobody may put one with bad signatures in the place of a good one.
    fn writer(&mut self, envelope: &Envelope) -> Judged {
        let writer = match Writer::open(envelope) {
            Ok(writer) => writer,
            Err(e) => return void(e.to_string()),
        };
        let charter = self.charters.get(self.rows, self.row.charter)?;
        let pinned = charter.as_ref().and_then(|c| c.identities.get(&writer.member)).cloned();
        let stands = self.rows.get(Table::Documents, &key::newest_of(&self.log, &writer.member))?;
        let stands = stands.and_then(|hash| hash.try_into().ok()).map(Sha256);
        let stands = stands.map(|hash| charters::identity(self.rows, &hash)).transpose()?.flatten();
        if !pinned.iter().chain(&stands).any(|i| i.identity.roles.root.signed(envelope)) {
            return void("not signed by the root threshold of an identity of its member that stands before it");
        }
        self.rows.put(Table::Documents, key::writer(&envelope.id()), envelope.bytes().to_vec());
        Ok(Ok(Verdict::Kept))
    }

    fn request(&mut self, envelope: &Envelope) -> Judged {
        let request = match Request::open(envelope) {
            Ok(request) => request,
            Err(e) => return void(e.to_string()),
        };
        if let Err(why) = self.same_federation(request.federation)? {
            return void(why);
        }
        let Some(identity) = self.standing_identity(&request.identity)? else {
            return void("its identity does not stand before it in the log");
        };
        if identity.member != request.member || !identity.identity.roles.approver.signed(envelope) {
            return void("not signed by the approver threshold of the requester");
        }
        self.rows.put(Table::Documents, key::request(&envelope.id()), envelope.bytes().to_vec());
        Ok(Ok(Verdict::Kept))
    }

    fn release(&mut self, index: u64, envelope: &Envelope) -> Judged {
        let facts = match facts::of(envelope.payload()) {
            Ok(facts) => facts,
            Err(why) => return void(why),
        };
        if let Err(why) = self.published_by_owner(envelope, facts.federation, facts.member, &facts.slug)? {
            return void(why);
        }
        let process = key::release(&facts.member, &facts.slug, &facts.version);
        let row = facts.row(self.log, index, envelope.id());
        let row = crate::codec::encode(&row).map_err(|e| RowsError(format!("row: {e}")))?;
        let values = [row, facts.search.into_bytes()];
        if let Some((member, slug)) = self.succeeded(facts.succeeds.as_ref())? {
            moved::note_successor(self.rows, &process, self.place(index), &member, &slug)?;
        }
        match self.claim(Table::Releases, &process, index, &values)?.verdict(self.place(index)) {
            Verdict::Void(why) => void(why),
            verdict => Ok(Ok(verdict)),
        }
    }

    /// The process that a release names in `succeeds`, if it is one of this federation: by the handles of the charter here.
    fn succeeded(&self, named: Option<&ProcessRef>) -> Result<Option<(MemberId, Slug)>, RowsError> {
        let Some(named) = named else { return Ok(None) };
        let charter = self.charters.get(self.rows, self.row.charter)?;
        let charter = charter.as_ref().map(|certified| &certified.charter);
        let here = charter.filter(|c| named.federation.as_ref().is_none_or(|slug| *slug == c.rules.slug));
        Ok(here.and_then(|c| c.by_handle(&named.owner)).map(|owner| (owner.member, named.slug.clone())))
    }

    fn place(&self, index: u64) -> Place {
        Place { seq: self.row.seq, index, log: self.log }
    }

    fn claim(
        &mut self,
        table: Table,
        main: &[u8],
        index: u64,
        values: &[Vec<u8>],
    ) -> Result<stake::Settled, RowsError> {
        let place = self.place(index);
        stake::claim(self.rows, table, main, place, values, self.row)
    }

    fn withdrawal(&mut self, index: u64, envelope: &Envelope) -> Judged {
        let document = match Withdrawal::open(envelope) {
            Ok(document) => document,
            Err(e) => return void(e.to_string()),
        };
        let authority = self.published_by_owner(envelope, document.federation, document.member, &document.process)?;
        if let Err(why) = authority {
            return void(why);
        }
        let key = key::withdrawal(&document.member, &document.release);
        self.claim(Table::Statements, &key, index, &[envelope.payload().to_vec()])?;
        Ok(Ok(Verdict::Valid))
    }

    fn about_own(&mut self, index: u64, envelope: &Envelope) -> Judged {
        let parts = match Kind::of(envelope) {
            Kind::Correction => Correction::open(envelope).map(|d| (d.federation, d.member, d.process)),
            _ => Deprecation::open(envelope).map(|d| (d.federation, d.member, d.process)),
        };
        let (federation, member, process) = match parts {
            Ok(parts) => parts,
            Err(e) => return void(e.to_string()),
        };
        if let Err(why) = self.published_by_owner(envelope, federation, member, &process)? {
            return void(why);
        }
        statements::note(self.rows, &member, &process, &envelope.id(), self.place(index), envelope.bytes());
        Ok(Ok(Verdict::Valid))
    }

    fn transfer(&mut self, index: u64, envelope: &Envelope) -> Judged {
        let document = match Transfer::open(envelope) {
            Ok(document) => document,
            Err(e) => return void(e.to_string()),
        };
        let authority = self.published_by_owner(envelope, document.federation, document.member, &document.process)?;
        if let Err(why) = authority {
            return void(why);
        }
        let Transfer { member, process, .. } = &document;
        statements::note(self.rows, member, process, &envelope.id(), self.place(index), envelope.bytes());
        stake::transfer(self.rows, self.place(index), &document, self.row)?;
        Ok(Ok(Verdict::Valid))
    }

    fn by_approver(&mut self, index: u64, envelope: &Envelope) -> Judged {
        let parts = match Kind::of(envelope) {
            Kind::Adoption => Adoption::open(envelope).map(|d| (d.federation, d.member, d.owner, d.process)),
            _ => Advisory::open(envelope).map(|d| (d.federation, d.member, d.owner, d.process)),
        };
        let (federation, member, owner, process) = match parts {
            Ok(parts) => parts,
            Err(e) => return void(e.to_string()),
        };
        if let Err(why) = self.approved_by_owner(envelope, federation, member)? {
            return void(why);
        }
        statements::note(self.rows, &owner, &process, &envelope.id(), self.place(index), envelope.bytes());
        Ok(Ok(Verdict::Valid))
    }

    fn leave(&mut self, index: u64, envelope: &Envelope) -> Judged {
        let document = match Leave::open(envelope) {
            Ok(document) => document,
            Err(e) => return void(e.to_string()),
        };
        if let Err(why) = self.approved_by_owner(envelope, document.federation, document.member)? {
            return void(why);
        }
        let end = index + 1;
        self.row.closed.owner = Some(self.row.closed.owner.map_or(end, |size| size.min(end)));
        Ok(Ok(Verdict::Valid))
    }

    fn same_federation(&self, named: FederationId) -> Result<Result<(), Refusal>, RowsError> {
        let charter = self.charters.get(self.rows, self.row.charter)?;
        let federation = charter.map(|c| c.federation);
        Ok(if federation == Some(named) { Ok(()) } else { Err("it names another federation".into()) })
    }

    fn own(&self, named: FederationId, member: MemberId) -> Result<Result<VerifiedIdentity, Refusal>, RowsError> {
        let (owner, identity, charter) = match self.authority()? {
            Ok(authority) => authority,
            Err(why) => return Ok(Err(why)),
        };
        if charter.federation != named && !crate::seeded::bug("other_federation") {
            return Ok(Err("it names another federation".into()));
        }
        if owner != member && !crate::seeded::bug("other_namespace") {
            return Ok(Err("it is in another member's namespace".into()));
        }
        Ok(Ok(identity))
    }

    fn published_by_owner(
        &self,
        envelope: &Envelope,
        federation: FederationId,
        member: MemberId,
        slug: &Slug,
    ) -> Result<Result<(), Refusal>, RowsError> {
        Ok(self.own(federation, member)?.and_then(|identity| {
            let signed =
                identity.identity.roles.publisher.signed(envelope, slug) || crate::seeded::bug("release_unsigned");
            if signed { Ok(()) } else { Err("not signed by the publisher threshold of the identity below it".into()) }
        }))
    }

    fn approved_by_owner(
        &self,
        envelope: &Envelope,
        federation: FederationId,
        member: MemberId,
    ) -> Result<Result<(), Refusal>, RowsError> {
        Ok(self.own(federation, member)?.and_then(|identity| {
            let signed = identity.identity.roles.approver.signed(envelope);
            if signed { Ok(()) } else { Err("not signed by the approver threshold of the identity below it".into()) }
        }))
    }
}

/// The entry's judgement if it were appended next; nothing is changed.
///
/// # Errors
/// [`RowsError`] if the view fails.
pub fn dry_run(rows: &dyn Rows, charters: &Charters, log: PeerId, leaf: &[u8]) -> Result<Verdict, RowsError> {
    let Some(mut row) = state::log(rows, &log)? else { return Ok(Verdict::Void("the log is not known".into())) };
    let index = row.size();
    if row.end().is_some() {
        return Ok(Verdict::Void("the log is closed".into()));
    }
    let mut overlay = Overlay::new(rows);
    let mut judge = Judge { rows: &mut overlay, charters, ahead: None, log, row: &mut row };
    Ok(judge.entry(index, leaf)?.unwrap_or(Verdict::Waiting))
}

/// Hash by which the bytes of a waiting entry are found again.
pub fn waiting_key(log: &PeerId, index: u64) -> Vec<u8> {
    [b"z", log.key().as_bytes().as_slice(), index.to_be_bytes().as_slice()].concat()
}

/// Whether `hash` is one of the two that a checkpoint may have at `size`.
pub fn root_matches(row: &LogRow, rows: &dyn Rows, size: u64, root: Sha256) -> Result<bool, RowsError> {
    if size == row.size() {
        return Ok(row.frontier.root() == root);
    }
    if size == 0 || size > row.size() {
        return Ok(false);
    }
    let hashes = state::LogHashes { rows, number: row.number };
    crate::log::tree::root(size, &hashes).map(|own| own == root).map_err(|e| RowsError(e.to_string()))
}

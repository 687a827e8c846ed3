//! Who calls, and what it may do.
//!
//! Owns the mapping from the kernel's peer credentials to roles. Never trusts anything that a request says about its sender.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a caller may do. A role includes no other one, but whoever has any may also read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See everything.
    Read,
    /// Run the node: peers, invitations, tokens, store.
    Operate,
    /// Publish and withdraw in the member's name.
    Publish,
    /// Decide in the member's name about members and federations.
    Approve,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Publish, Self::Approve];
    /// Its name, as in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Publish => "publish",
            Self::Approve => "approve",
        }
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);
    /// Every role.
    pub const ALL: Self = Self(0b1111);
    /// These and `role`, and with any role also reading.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | 1 << role as u8 | 1 << Role::Read as u8)
    }
    /// Whether `role` is among them.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }
}

/// Who sent a request, by the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// User name, if the system knows one.
    pub user: Option<String>,
    /// Process id, if the kernel tells.
    pub pid: Option<i32>,
    /// What it may do.
    pub roles: Roles,
    /// Same user as the daemon, or root: not subject to the bound on other people's connections.
    pub owner: bool,
}

/// What the kernel says about the other end of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Effective user id when it connected.
    pub uid: u32,
    /// Effective group id when it connected.
    pub gid: u32,
    /// Process id, if told.
    pub pid: Option<i32>,
}

/// Groups that give a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    own_uid: u32,
    /// Groups by role; no group for reading: whoever can open the socket reads.
    groups: [BTreeSet<u32>; 4],
}

/// A group is named that the system does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "admin.{role}: the group {group:?} does not exist on this machine; create it (groupadd {group}) or correct the key"
)]
pub struct UnknownGroup {
    /// Role that it should give.
    pub role: &'static str,
    /// Its name.
    pub group: String,
}

/// Groups by role, as configured: names or numbers.
pub type GroupNames<'a> = [(Role, &'a [String]); 4];

impl Policy {
    /// The policy for a daemon with `own_uid`, with `groups` looked up in the system.
    ///
    /// # Errors
    /// [`UnknownGroup`] for a name that the system does not know: it must not silently give nobody the role.
    pub fn new(own_uid: u32, groups: GroupNames<'_>) -> Result<Self, UnknownGroup> {
        let mut policy = Self { own_uid, groups: Default::default() };
        for (role, names) in groups {
            for name in names {
                let gid = group_id(name).ok_or_else(|| UnknownGroup { role: role.as_str(), group: name.clone() })?;
                policy.groups[role as usize].insert(gid);
            }
        }
        Ok(policy)
    }

    /// The roles of someone with `credentials` who is also in `groups`.
    pub fn roles(&self, credentials: Credentials, groups: &[u32]) -> Roles {
        if self.is_owner(credentials.uid) {
            return Roles::ALL;
        }
        let is_in = |role: Role| {
            let allowed = &self.groups[role as usize];
            allowed.contains(&credentials.gid) || groups.iter().any(|gid| allowed.contains(gid))
        };
        let anyone_reads = self.groups[Role::Read as usize].is_empty();
        let start = if anyone_reads { Roles::NONE.with(Role::Read) } else { Roles::NONE };
        Role::ALL.into_iter().filter(|role| is_in(*role)).fold(start, Roles::with)
    }

    /// Same user as the daemon, or root.
    pub const fn is_owner(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own_uid
    }
}

/// Looks up a caller: its name, and the groups that the system lists for it. May block on a directory service.
pub fn identify(policy: &Policy, credentials: Credentials) -> Caller {
    let account = uzers::get_user_by_uid(credentials.uid);
    let groups: Vec<u32> = account
        .as_ref()
        .filter(|_| !policy.is_owner(credentials.uid))
        .and_then(uzers::User::groups)
        .unwrap_or_default()
        .iter()
        .map(uzers::Group::gid)
        .collect();
    Caller {
        uid: credentials.uid,
        user: account.and_then(|user| user.name().to_str().map(str::to_owned)),
        pid: credentials.pid,
        roles: policy.roles(credentials, &groups),
        owner: policy.is_owner(credentials.uid),
    }
}

/// The id of a group, by name or number.
pub fn group_id(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| uzers::get_group_by_name(name).map(|group| group.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(read: &[&str], operate: &[&str], publish: &[&str], approve: &[&str]) -> Policy {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let (read, operate, publish, approve) = (owned(read), owned(operate), owned(publish), owned(approve));
        let groups =
            [(Role::Read, &read[..]), (Role::Operate, &operate), (Role::Publish, &publish), (Role::Approve, &approve)];
        Policy::new(1000, groups).unwrap()
    }
    const fn who(uid: u32, gid: u32) -> Credentials {
        Credentials { uid, gid, pid: Some(1) }
    }

    #[test]
    fn owner_and_root_do_everything() {
        let policy = policy(&["7"], &[], &[], &[]);
        assert_eq!(policy.roles(who(0, 0), &[]), Roles::ALL);
        assert_eq!(policy.roles(who(1000, 5), &[]), Roles::ALL);
        assert_eq!(policy.roles(who(1001, 5), &[]), Roles::NONE);
    }

    #[test]
    fn groups_give_roles_and_any_role_reads() {
        let policy = policy(&["7"], &["8"], &["9"], &["10"]);
        let roles = policy.roles(who(1001, 5), &[9]);
        assert!(roles.has(Role::Publish) && roles.has(Role::Read));
        assert!(!roles.has(Role::Operate) && !roles.has(Role::Approve));
        assert!(policy.roles(who(1001, 10), &[]).has(Role::Approve), "the primary group counts");
        assert!(!policy.roles(who(1001, 7), &[]).has(Role::Operate));
    }

    #[test]
    fn without_a_reading_group_everyone_at_the_socket_reads() {
        let roles = policy(&[], &[], &[], &[]).roles(who(1001, 5), &[]);
        assert!(roles.has(Role::Read) && !roles.has(Role::Operate));
    }

    #[test]
    fn unknown_groups_are_an_error() {
        let names = vec!["no-such-group-here".to_owned()];
        let error =
            Policy::new(1000, [(Role::Read, &[]), (Role::Operate, &names), (Role::Publish, &[]), (Role::Approve, &[])])
                .unwrap_err();
        assert_eq!(error.role, "operate");
    }
}

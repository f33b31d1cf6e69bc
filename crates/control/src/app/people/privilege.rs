//! Privileges, by object and action, and the roles that have them (V129).

use std::fmt;

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Object {
    Account,
    Asset,
    Audit,
    Breakout,
    Bucket,
    Channel,
    Cluster,
    Collection,
    Distribution,
    Event,
    Job,
    Key,
    Log,
    Node,
    Operation,
    Recording,
    Settings,
    Token,
    Usage,
    User,
    Webhook,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Action {
    View,
    Add,
    Update,
    Delete,
    Start,
    Stop,
    Abort,
    Sign,
}

use Action::{Abort, Add, Delete, Sign, Start, Stop, Update, View};

/// Every object with its word and the actions that there are for it.
const OBJECTS: [(Object, &str, &[Action]); 21] = [
    (Object::Account, "account", &[View, Add, Delete]),
    (Object::Asset, "asset", &[View, Add, Update, Delete, Start, Abort, Sign]),
    (Object::Audit, "audit", &[View]),
    (Object::Breakout, "breakout", &[View, Add, Update, Delete, Start, Stop, Abort, Sign]),
    (Object::Bucket, "bucket", &[View, Add, Update, Delete, Sign]),
    (Object::Channel, "channel", &[View, Add, Update, Delete, Start, Stop]),
    (Object::Cluster, "cluster", &[View, Add, Update, Delete, Start, Stop, Sign]),
    (Object::Collection, "collection", &[View, Add, Update, Delete, Sign]),
    (Object::Distribution, "distribution", &[View, Add, Update, Delete, Start]),
    (Object::Event, "event", &[View, Add, Update, Delete]),
    (Object::Job, "job", &[View, Start, Abort]),
    (Object::Key, "key", &[View, Add, Update, Delete, Sign]),
    (Object::Log, "log", &[View]),
    (Object::Node, "node", &[View, Delete]),
    (Object::Operation, "operation", &[View]),
    (Object::Recording, "recording", &[View, Update, Delete, Sign]),
    (Object::Settings, "settings", &[View]),
    (Object::Token, "token", &[View, Add, Delete]),
    (Object::Usage, "usage", &[View, Start]),
    (Object::User, "user", &[View, Add, Update, Delete]),
    (Object::Webhook, "webhook", &[View, Add, Update, Delete, Start]),
];

/// What operators add and change.
const OPERATED: [Object; 5] = [Object::Breakout, Object::Asset, Object::Collection, Object::Event, Object::Recording];

/// What viewers do not see.
const UNSEEN: [Object; 4] = [Object::User, Object::Token, Object::Audit, Object::Key];

impl Object {
    pub(crate) fn as_str(self) -> &'static str {
        OBJECTS[self as usize].1
    }
}

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            View => "view",
            Add => "add",
            Update => "update",
            Delete => "delete",
            Start => "start",
            Stop => "stop",
            Abort => "abort",
            Sign => "sign",
        }
    }
}

/// Leave to do one thing to one kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Privilege(pub(crate) Object, pub(crate) Action);

impl Privilege {
    /// Every one that there is, in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        OBJECTS.iter().flat_map(|(object, _, actions)| actions.iter().map(|action| Self(*object, *action)))
    }

    /// The one that is spelled so.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let (object, action) = word.split_once(':')?;
        Self::all().find(|privilege| privilege.0.as_str() == object && privilege.1.as_str() == action)
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.as_str(), self.1.as_str())
    }
}

/// A set of privileges: the actions of each object as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges([u8; OBJECTS.len()]);

impl Privileges {
    pub(crate) fn all() -> Self {
        Privilege::all().collect()
    }

    pub(crate) fn has(self, privilege: Privilege) -> bool {
        self.0[privilege.0 as usize] & bit(privilege.1) != 0
    }

    pub(crate) fn insert(&mut self, privilege: Privilege) {
        self.0[privilege.0 as usize] |= bit(privilege.1);
    }

    pub(crate) fn remove(&mut self, privilege: Privilege) {
        self.0[privilege.0 as usize] &= !bit(privilege.1);
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::all().filter(move |privilege| self.has(*privilege))
    }

    /// The first of ours that `other` lacks.
    pub(crate) fn beyond(self, other: Self) -> Option<Privilege> {
        self.iter().find(|privilege| !other.has(*privilege))
    }

    pub(crate) fn words(self) -> Vec<String> {
        self.iter().map(|privilege| privilege.to_string()).collect()
    }
}

impl FromIterator<Privilege> for Privileges {
    fn from_iter<T: IntoIterator<Item = Privilege>>(privileges: T) -> Self {
        let mut set = Self::default();
        privileges.into_iter().for_each(|privilege| set.insert(privilege));
        set
    }
}

fn bit(action: Action) -> u8 {
    1 << action as u8
}

/// What somebody is by default allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Viewer,
    Operator,
    Admin,
    Owner,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Admin, Self::Owner];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    pub(crate) fn privileges(self) -> Privileges {
        let has = |Privilege(object, action): &Privilege| match self {
            Self::Owner | Self::Admin => true,
            Self::Operator => match action {
                View | Start | Stop | Abort | Sign => true,
                Add | Update => OPERATED.contains(object),
                Delete => false,
            },
            Self::Viewer => *action == View && !UNSEEN.contains(object),
        };
        Privilege::all().filter(has).collect()
    }

    /// What somebody of this role may do after additions and removals. An owner may always do everything. Words that this code does not
    /// know allow nothing.
    pub(crate) fn effective(self, added: &[String], removed: &[String]) -> Privileges {
        if self == Self::Owner {
            return Privileges::all();
        }
        let mut privileges = self.privileges();
        added.iter().filter_map(|word| Privilege::parse(word)).for_each(|privilege| privileges.insert(privilege));
        removed.iter().filter_map(|word| Privilege::parse(word)).for_each(|privilege| privileges.remove(privilege));
        privileges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_where_their_number_says() {
        for (at, (object, word, actions)) in OBJECTS.into_iter().enumerate() {
            assert_eq!((object as usize, object.as_str()), (at, word));
            assert!(actions.is_sorted(), "{word}");
        }
        assert!(OBJECTS.is_sorted_by(|a, b| a.1 < b.1));
    }

    #[test]
    fn words_and_privileges_are_the_same() {
        for privilege in Privilege::all() {
            assert_eq!(Privilege::parse(&privilege.to_string()), Some(privilege));
        }
        for bad in ["", "channel", "channel:", "channel:view ", "Channel:view", "log:delete", "channel:view:x", ":view"]
        {
            assert_eq!(Privilege::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn roles_are_as_documented() {
        let of = |role: Role, object, action| role.privileges().has(Privilege(object, action));
        assert_eq!(Role::Owner.privileges(), Privileges::all());
        assert_eq!(Role::Admin.privileges(), Privileges::all());
        assert!(Privilege::all().filter(|p| p.1 == Delete).all(|p| !Role::Operator.privileges().has(p)));
        assert!(Privilege::all().filter(|p| p.1 == View).all(|p| Role::Operator.privileges().has(p)));
        assert!(of(Role::Operator, Object::Breakout, Add) && of(Role::Operator, Object::Recording, Update));
        assert!(of(Role::Operator, Object::Channel, Start) && of(Role::Operator, Object::Key, Sign));
        assert!(!of(Role::Operator, Object::Channel, Update) && !of(Role::Operator, Object::User, Add));
        assert!(Role::Viewer.privileges().iter().all(|p| p.1 == View));
        assert!(of(Role::Viewer, Object::Usage, View) && !of(Role::Viewer, Object::Audit, View));
        assert!(!of(Role::Viewer, Object::Key, View) && !of(Role::Viewer, Object::Token, View));
        for pair in Role::ALL.windows(2) {
            assert_eq!(pair[0].privileges().beyond(pair[1].privileges()), None, "{pair:?}");
        }
    }

    #[test]
    fn additions_come_before_removals_and_owners_keep_all() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let set = Role::Viewer
            .effective(&words(&["key:view", "key:sign", "nothing:view"]), &words(&["key:sign", "log:view"]));
        assert!(set.has(Privilege(Object::Key, View)) && !set.has(Privilege(Object::Key, Sign)));
        assert!(!set.has(Privilege(Object::Log, View)));
        assert_eq!(Role::Owner.effective(&[], &words(&["channel:delete"])), Privileges::all());
    }
}

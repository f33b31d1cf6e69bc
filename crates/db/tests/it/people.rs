//! Users, their log-ins, and the audit.

use anabranch_db::{
    AuditFilter, Db, EndLogins, Error, Identity, NewAudit, NewLogin, NewUser, PageOrder, PageRequest, UserChange,
};
use anabranch_model::{LoginId, UserId};

use crate::scratch::{Engine, both, open_on};

both!(users_are_found_by_any_spelling, the_last_owner_is_kept, log_ins_end, the_audit_is_read_newest_first);

fn new(name: &str, role: &str) -> NewUser {
    NewUser {
        id: UserId::random(),
        name: name.into(),
        display_name: name.into(),
        role: role.into(),
        privileges_added: vec!["key:view".into(), "key:sign".into()],
        privileges_removed: Vec::new(),
        password_hash: Some("hash".into()),
        identity: None,
        only_first: false,
    }
}

async fn login(db: &Db, user: &UserId, mark: u8, now: i64) -> LoginId {
    let new = NewLogin {
        id: LoginId::random(),
        hash: [mark; 32],
        user: user.clone(),
        expires_at: now + 1000,
        remote: "192.0.2.1".into(),
        user_agent: "Tester".into(),
    };
    db.login_create(&new, 3, now).await.unwrap().id
}

async fn users_are_found_by_any_spelling(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    assert!(!db.users_any().await.unwrap());
    let first = NewUser { only_first: true, ..new("Åsa", "owner") };
    let asa = db.user_create(&first, 1).await.unwrap();
    assert!(db.users_any().await.unwrap());
    let again = NewUser { only_first: true, ..new("Other", "owner") };
    assert!(matches!(db.user_create(&again, 1).await, Err(Error::NotNow { .. })));
    assert!(matches!(db.user_create(&new("åSA", "viewer"), 1).await, Err(Error::NameTaken { .. })));
    for wanted in ["Åsa", "åsa", "ÅSA", asa.id.as_str()] {
        assert_eq!(db.user_find(wanted).await.unwrap(), asa, "{wanted}");
    }
    assert_eq!(db.user_named("ÅSA").await.unwrap().as_ref(), Some(&asa));
    assert_eq!(db.user_named("nobody").await.unwrap(), None);
    assert_eq!(asa.privileges_added, ["key:view", "key:sign"]);
    // Somebody whom a provider knows, once.
    let identity = Identity { provider: "corp".into(), subject: "1".into() };
    let known = NewUser { identity: Some(identity.clone()), password_hash: None, ..new("Bo", "viewer") };
    let bo = db.user_create(&known, 2).await.unwrap();
    assert_eq!(db.user_of(&identity).await.unwrap(), Some(bo.clone()));
    assert_eq!(db.user_of(&Identity { subject: "2".into(), ..identity.clone() }).await.unwrap(), None);
    let twice = NewUser { identity: Some(identity), ..new("Bo 2", "viewer") };
    assert!(db.user_create(&twice, 3).await.is_err());
    let taken = UserChange { name: Some("ÅSA".into()), ..UserChange::default() };
    assert!(matches!(db.user_update("Bo", &taken, 4).await, Err(Error::NameTaken { .. })));
    let change = UserChange { name: Some("BO".into()), privileges_added: Some(Vec::new()), ..UserChange::default() };
    let changed = db.user_update("bo", &change, 5).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.updated_at, changed.created_at), ("BO", 5, 2));
    assert!(changed.privileges_added.is_empty() && changed.identity == bo.identity);
    let page = db.user_page(&PageRequest { limit: 1, after: None, order: PageOrder::OldestFirst }).await.unwrap();
    assert_eq!(page.items, [asa]);
    let page = db.user_page(&PageRequest { limit: 1, after: page.next, order: PageOrder::OldestFirst }).await.unwrap();
    assert_eq!((page.items, page.next), (vec![changed], None));
}

async fn the_last_owner_is_kept(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    let one = db.user_create(&new("one", "owner"), 1).await.unwrap();
    db.user_create(&new("two", "owner"), 1).await.unwrap();
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    db.user_update("two", &disable, 2).await.unwrap();
    let demote = UserChange { role: Some("admin".into()), ..UserChange::default() };
    for change in [&disable, &demote] {
        assert!(matches!(db.user_update("one", change, 2).await, Err(Error::NotNow { .. })));
    }
    assert!(matches!(db.user_delete("one", 2).await, Err(Error::InUse { .. })));
    assert_eq!(db.user_find("one").await.unwrap(), one);
    db.user_delete("two", 3).await.unwrap();
    assert!(matches!(db.user_delete("two", 3).await, Err(Error::NotFound { subject: "user", .. })));
}

async fn log_ins_end(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    let ann = db.user_create(&new("ann", "owner"), 1).await.unwrap().id;
    let bob = db.user_create(&new("bob", "viewer"), 1).await.unwrap().id;
    let first = login(&db, &ann, 1, 10).await;
    let other = login(&db, &bob, 9, 10).await;
    let (row, user) = db.login_of(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((&row.id, row.user_name.as_str(), &user.id, user.last_login_at), (&first, "ann", &ann, Some(10)));
    assert_eq!((row.created_at, row.seen_at, row.expires_at), (10, 10, 1010));
    assert_eq!(db.login_of(&[7; 32]).await.unwrap(), None);
    // The one that was used longest ago gives way.
    for mark in 2..=3 {
        login(&db, &ann, mark, 10 + i64::from(mark)).await;
    }
    db.logins_seen(&[(first.clone(), 50), (other.clone(), 5)]).await.unwrap();
    login(&db, &ann, 4, 60).await;
    assert!(db.login_of(&[1; 32]).await.unwrap().is_some() && db.login_of(&[2; 32]).await.unwrap().is_none());
    let page = PageRequest { limit: 2, after: None, order: PageOrder::OldestFirst };
    let found = db.login_page(Some(&ann), 0, &page, 100).await.unwrap();
    assert_eq!(found.items.len(), 2);
    let rest = db
        .login_page(Some(&ann), 0, &PageRequest { limit: 2, after: found.next, order: PageOrder::OldestFirst }, 100)
        .await
        .unwrap();
    assert_eq!((rest.items.len(), rest.next), (1, None));
    let all = PageRequest { limit: 10, after: None, order: PageOrder::OldestFirst };
    assert_eq!(db.login_page(None, 0, &all, 100).await.unwrap().items.len(), 4);
    assert_eq!(db.login_page(None, 20, &all, 100).await.unwrap().items.len(), 2, "those that were seen since");
    assert_eq!(db.login_page(None, 0, &all, 1010).await.unwrap().items.len(), 2, "those that have not ended");
    // All but one end with a change.
    let change = UserChange { end_logins: Some(EndLogins::But(first.clone())), ..UserChange::default() };
    db.user_update("ann", &change, 70).await.unwrap();
    assert_eq!(db.login_page(Some(&ann), 0, &all, 100).await.unwrap().items[0].id, first);
    assert!(db.login_end(&first).await.unwrap() && !db.login_end(&first).await.unwrap());
    assert!(matches!(db.login_find(first.as_str()).await, Err(Error::NotFound { subject: "session", .. })));
    assert_eq!(db.logins_end(&bob).await.unwrap(), 1);
    // Who is kept out has none.
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    db.user_update("bob", &disable, 80).await.unwrap();
    let new = NewLogin {
        id: LoginId::random(),
        hash: [5; 32],
        user: bob.clone(),
        expires_at: 1000,
        remote: String::new(),
        user_agent: String::new(),
    };
    assert!(matches!(db.login_create(&new, 3, 90).await, Err(Error::NotFound { .. })));
    // Old ones are swept, and a user takes theirs with them.
    login(&db, &ann, 6, 100).await;
    login(&db, &ann, 7, 200).await;
    assert_eq!(db.logins_sweep(100, 300).await.unwrap(), 1);
    assert_eq!(db.logins_sweep(0, 1200).await.unwrap(), 1);
    login(&db, &ann, 8, 1300).await;
    db.user_create(&crate::people::new("cat", "owner"), 1).await.unwrap();
    db.user_delete("ann", 1400).await.unwrap();
    assert_eq!(db.login_of(&[8; 32]).await.unwrap(), None);
}

async fn the_audit_is_read_newest_first(engine: Engine) {
    let (_scratch, db, _) = open_on(engine).await;
    let entry = |at: i64, actor: Option<&str>, subject: Option<&str>| NewAudit {
        at,
        actor: actor.map(str::to_owned),
        actor_kind: if actor.is_some() { "user" } else { "none" }.into(),
        operation: "channel_start".into(),
        object: "channel".into(),
        subject: subject.map(str::to_owned),
        status: 200,
        remote: "192.0.2.1".into(),
        request_id: format!("r{at}"),
    };
    db.audit_add(&[entry(1, Some("ann"), Some("c1")), entry(2, None, Some("c2"))]).await.unwrap();
    db.audit_add(&[]).await.unwrap();
    db.audit_add(&[entry(3, Some("bob"), None), entry(4, Some("ann"), Some("c2"))]).await.unwrap();
    let read = async |filter: &AuditFilter, before| {
        let (rows, more) = db.audit_page(filter, PageOrder::NewestFirst, before, 2).await.unwrap();
        (rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), more)
    };
    let all = AuditFilter::default();
    assert_eq!(read(&all, None).await, (vec![4, 3], true));
    assert_eq!(read(&all, Some(3)).await, (vec![2, 1], false));
    let ann = AuditFilter { actor: Some("ann".into()), ..AuditFilter::default() };
    assert_eq!(read(&ann, None).await, (vec![4, 1], false));
    let ann_only = ann.clone();
    let both = AuditFilter { subject: Some("c2".into()), object: Some("channel".into()), ..ann };
    assert_eq!(read(&both, None).await, (vec![4], false));
    let between = AuditFilter { since: Some(2), until: Some(4), ..AuditFilter::default() };
    assert_eq!(read(&between, None).await, (vec![3, 2], false));
    let (rows, _) = db.audit_page(&all, PageOrder::NewestFirst, Some(2), 2).await.unwrap();
    assert_eq!(rows[0].entry, entry(1, Some("ann"), Some("c1")));
    let (rows, more) = db.audit_page(&all, PageOrder::OldestFirst, Some(1), 2).await.unwrap();
    assert_eq!((rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), more), (vec![2, 3], true));
    let (rows, more) = db.audit_page(&ann_only, PageOrder::OldestFirst, None, 2).await.unwrap();
    assert_eq!((rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), more), (vec![1, 4], false));
    assert_eq!(db.audit_prune(3).await.unwrap(), 2);
    assert_eq!(db.audit_prune(3).await.unwrap(), 0);
    assert_eq!(read(&all, None).await, (vec![4, 3], false));
}

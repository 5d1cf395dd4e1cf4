#!/bin/sh
# Makes the namespace and registers the search attributes that Concord's workflows carry: without them no workflow starts.
# TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE say where. Every step may be repeated.
set -eu

# again repeats a command until it works, for at most a minute: a server answers its port before it has joined itself, and knows a
# new namespace only after a few seconds.
again() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    if [ "$tries" -ge 30 ]; then
      echo "Temporal at $TEMPORAL_ADDRESS does not answer as it should; see: docker-compose logs temporal" >&2
      return 1
    fi
    sleep 2
  done
}

again temporal operator cluster health

temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
again temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE" >/dev/null

known=$(temporal operator search-attribute list --namespace "$TEMPORAL_NAMESPACE")
register() {
  case $known in
    *"$1"*) echo "search attribute $1 is there" ;;
    *) temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" --name "$1" --type "$2" ;;
  esac
}
register MerchantId Keyword
register SyncTypes KeywordList
register MerchantState Keyword

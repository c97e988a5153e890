# etcd and etcdctl of the version in test/e2e/tools/go.mod. Built by
# deploy/build-images.sh, from the root of the repository.
FROM scratch
COPY bin/etcd bin/etcdctl /
# An empty directory gives the volume mounted there its owner.
COPY --chown=65532:65532 bin/empty /var/lib/etcd
ENV ETCD_DATA_DIR=/var/lib/etcd/member.etcd
USER 65532:65532
EXPOSE 2379 2380
VOLUME /var/lib/etcd
ENTRYPOINT ["/etcd"]

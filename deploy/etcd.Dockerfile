# etcd and etcdctl of the version in test/e2e/tools/go.mod, where the public image
# has them too. Built by deploy/build-images.sh, from the root of the repository.
FROM scratch
COPY bin/etcd bin/etcdctl /usr/local/bin/
# An empty directory gives the volume mounted there its owner.
COPY --chown=65532:65532 bin/empty /var/lib/etcd
ENV PATH=/usr/local/bin ETCD_DATA_DIR=/var/lib/etcd/member.etcd
USER 65532:65532
WORKDIR /var/lib/etcd
EXPOSE 2379 2380
VOLUME /var/lib/etcd
CMD ["/usr/local/bin/etcd"]
